"""The paper's Figure 1 and its ablations as charts, published values next to ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan

from dgunet.network.config import preset
from dgunet.network.size import count_parameters
from dgunet.paper import published
from dgunet.paper.cell_positions import Line, label
from dgunet.paper.cells import Cell
from dgunet.paper.charts import Chart, Look, Panel, Series
from dgunet.paper.generated_table import GeneratedTable
from dgunet.paper.verdict_lines import number
from dgunet.terms import VARIANTS

FIGURE_1 = ("VDN", "DANet+", "AINDNet", "MIRNet", "DeamNet", "MPRNet")
"""The other methods in Figure 1, under the names that Table 3 gives the same citations; the caption
has "VDNet" for VDN and "GDA-Net" for DANet+."""

_STAGES = {level: f"{level} stages, 3 scales" for level in (3, 5, 7, 9)}
_SCALES = {level: f"7 stages, {level} scale{'s' * (level > 1)}" for level in (1, 2, 3)}
"""Columns of Table 5 by the level that varies."""

_SAMPLE_REMARK = "Ours is the sample's: another scale, below the paper's, and not comparable."


def result_charts(tables: Sequence[GeneratedTable]) -> list[Chart]:
    """Figure 1, PSNR over stages, over fusion scales, and over the components of Table 6.

    Args:
        tables: all six, as :func:`dgunet.paper.table_building.build_tables` returns them.
    """
    by_number = {table.number: table for table in tables}
    parts = dict(enumerate(published.table(6).columns))
    return [
        figure_1(by_number[3]),
        _ablation(by_number[5], "stages", "PSNR over the number of stages", _STAGES),
        _ablation(by_number[5], "scales", "PSNR over the number of fused scales", _SCALES),
        _ablation(by_number[6], "parts", "PSNR without parts of the network", parts),
    ]


def figure_1(table: GeneratedTable) -> Chart:
    """PSNR on DND over the number of parameters, of the methods whose number is known.

    The paper prints no numbers of parameters. Those of DGUNet and DGUNet+ are computed from their
    structure; no other method is drawn.

    Args:
        table: Table 3.
    """
    sizes: dict[str, float] = {v: count_parameters(preset("denoise", v)) / 1e6 for v in VARIANTS}
    theirs: dict[str, float | None] = {
        v: table.cells[label(v, "published"), "DND", "PSNR"].value for v in VARIANTS
    }
    ours = _scored(table)
    series = [
        _points("paper", "published", sizes, theirs),
        *([_points("ours", "ours", sizes, ours)] if ours else []),
    ]
    lines = [
        [v, f"{sizes[v]:.2f}", number(theirs[v], ".2f"), number(ours.get(v), ".2f")]
        for v in VARIANTS
    ]
    printed = published.table(3).cells
    lines += [[m, "not printed", printed[m, "DND", "PSNR"].printed, ""] for m in FIGURE_1]
    said = "" if ours else " Ours is missing: no score of DND's server is recorded."
    return Chart(
        "figure1",
        "Figure 1: PSNR on DND over the number of parameters",
        "parameters, millions",
        (Panel("PSNR on DND, dB", series),),
        "The numbers of parameters are computed from the networks' structure; the paper has its "
        f"own only as positions in a drawing. {', '.join(FIGURE_1)} are left out for that reason; "
        f"the table below has their PSNR.{said}",
        ("method", "parameters, millions", "paper, dB", "ours, dB"),
        lines,
    )


def _scored(table: GeneratedTable) -> dict[str, float]:
    """Our PSNR on DND by network, where the server's score is recorded."""
    cells = {v: table.cells.get((label(v, "reproduced"), "DND", "PSNR")) for v in VARIANTS}
    return {
        v: cell.value
        for v, cell in cells.items()
        if cell and cell.state == "measured" and cell.value is not None
    }


def _points(
    name: str, look: Look, sizes: Mapping[str, float], values: Mapping[str, float | None]
) -> Series:
    known = {v: value for v, value in values.items() if value is not None}
    return Series(
        name, look, [sizes[v] for v in known], list(known.values()), names=list(known), joined=False
    )


def _ablation(table: GeneratedTable, key: str, title: str, columns: Mapping[int, str]) -> Chart:
    """PSNR on Rain100H over what ``columns``, by their position on the axis, vary."""
    names = key == "parts"
    theirs = {x: table.cells[label("PSNR", "published"), c, "PSNR"] for x, c in columns.items()}
    line: Line = "sample" if table.notice else "reproduced"
    state = "sample" if table.notice else "measured"
    found = {x: table.cells[label("PSNR", line), c, "PSNR"] for x, c in columns.items()}
    ours = {x: c for x, c in found.items() if c.value is not None and c.state == state}
    printed = _series("paper", "published", theirs, joined=not names)
    series = _series("sample" if table.notice else "ours", "ours", ours, joined=not names)
    if table.notice and ours:
        panels = [Panel("paper, dB", [printed]), Panel("sample, dB", [series])]
    else:
        panels = [Panel("PSNR, dB", [printed, *([series] if ours else [])])]
    left = [columns[x] for x in columns if x not in ours]
    said = f" Without a value of ours: {'; '.join(left)}." if left else ""
    return Chart(
        key,
        f"{title} (Table {table.number}, Rain100H)",
        "" if names else f"number of {key}",
        panels,
        (_SAMPLE_REMARK if table.notice and ours else "")
        + " Bars are intervals of our mean over the images; values without one have too few."
        + said,
        ("network", "paper, dB", "ours, dB", "interval"),
        [[columns[x], theirs[x].shown, *_ours(ours.get(x))] for x in columns],
        ticks=list(columns.values()) if names else (),
    )


def _series(name: str, look: Look, cells: Mapping[int, Cell], *, joined: bool) -> Series:
    return Series(
        name,
        look,
        list(cells),
        [nan if c.value is None else c.value for c in cells.values()],
        [nan if c.low is None else c.low for c in cells.values()],
        [nan if c.high is None else c.high for c in cells.values()],
        joined=joined,
    )


def _ours(cell: Cell | None) -> list[str]:
    if cell is None:
        return ["", ""]
    interval = "" if cell.low is None else f"{number(cell.low)} to {number(cell.high)}"
    return [number(cell.value), interval]
