"""The verdicts and twins of the HTML report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from dgunet.paper.cells import Cell
from dgunet.paper.generated_table import GeneratedTable
from dgunet.paper.twins import Twin
from dgunet.paper.verdict_files import TWIN_HEADS, twin_lines
from dgunet.paper.verdict_lines import judged_cells, number, verdict_lines, verdict_text
from dgunet.terms import CellVerdict

_COMPARED_HEADS = (
    "row",
    "column",
    "metric",
    "value",
    "published",
    "difference",
    "interval_low",
    "interval_high",
    "verdict",
    "tolerance",
    "tolerance_reason",
)


def worst_verdict(cells: Sequence[Cell]) -> str:
    """The verdict that colours one position: of PSNR and SSIM the worse; "" for the paper's."""
    order = get_args(CellVerdict)
    known = [cell.verdict for cell in cells if cell.verdict]
    return max(known, key=order.index, default="")


def verdict_facts(cells: Sequence[Cell]) -> list[tuple[str, str]]:
    """Verdict, interval and tolerance of one position, for its details; "" where there is none."""
    named = len(cells) > 1
    facts = []
    for cell in cells:
        suffix = f" of {cell.metric}" if named else ""
        interval = f"{number(cell.low)} to {number(cell.high)}"
        tolerance = f"{number(cell.tolerance, 'g')} ({cell.tolerance_reason})"
        facts += [
            (f"Verdict{suffix}", verdict_text(cell)),
            (
                f"Interval{suffix}",
                f"{interval} ({cell.confidence:.0%} bootstrap over the images)"
                if cell.confidence is not None
                else "",
            ),
            (f"Tolerance{suffix}", tolerance if cell.tolerance is not None else ""),
        ]
    return facts


def compared_lines(table: GeneratedTable) -> dict[str, Any]:
    """Heads and lines of the cells of a table that are compared with the paper."""
    compared = [cell for cell in judged_cells([table]) if cell.difference is not None]
    lines = [[line[head] for head in _COMPARED_HEADS] for line in verdict_lines(compared)]
    return {"heads": [head.replace("_", " ") for head in _COMPARED_HEADS], "lines": lines}


def twins_section(twins: Sequence[Twin]) -> dict[str, Any]:
    """Heads and lines of the twins that have a value, and the number of the others."""
    known = [twin for twin in twins if twin.state != "no value"]
    lines = [[line[head] for head in TWIN_HEADS] for line in twin_lines(known)]
    heads = [head.replace("_", " ") for head in TWIN_HEADS]
    return {"heads": heads, "lines": lines, "absent": len(twins) - len(known), "all": len(twins)}
