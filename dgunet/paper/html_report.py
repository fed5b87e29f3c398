"""The six tables as one HTML page; a click on a value of ours shows its provenance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

from jinja2 import Environment, PackageLoader, StrictUndefined

from dgunet.paper import verdict_lines
from dgunet.paper.cells import Cell
from dgunet.paper.generated_table import GeneratedTable, Heading, shown
from dgunet.paper.report_evidence import ReportEvidence, evidence_sections
from dgunet.paper.report_images import FigureGroup, page_within_limit
from dgunet.paper.report_verdicts import (
    compared_lines,
    twins_section,
    verdict_facts,
    worst_verdict,
)
from dgunet.paper.twins import Twin
from dgunet.paper.verdict_lines import count_verdicts
from dgunet.paper.verdicts import CLOSE
from dgunet.system.files import write_text
from dgunet.system.seals import sealed_page
from dgunet.terms import CellState

MEANINGS: dict[CellState, str] = {
    "published": "printed in the paper",
    "measured": "the whole benchmark, scored under the protocol at parity with the paper",
    "partial": "not the whole benchmark, or another protocol; the value is in the details",
    "infinite": "the mean PSNR is infinite: the network restored images identically",
    "sample": "a run on the sample images; not comparable with the paper",
    "not run": "no result",
    "waiting for the server": "only the benchmark's server has the ground truth and scores it",
    "not in the paper": "the paper's table has no such column",
}


@dataclass(frozen=True)
class PageCell:
    """One position of a table on the page; ``facts`` is empty where there is no run.

    ``change`` is our value minus the paper's where the two are compared.
    """

    text: str
    change: str
    source: str
    state: str
    rank: str
    name: str
    verdict: str
    hover: str
    facts: tuple[tuple[str, str], ...]
    run_id: str
    run_url: str


@dataclass(frozen=True)
class RunLink:
    """The run that produced a result.

    Attributes:
        run_id: its id in MLflow; None or "" before the run is delivered there.
        run_url: the run's page; only web addresses become links.
        commit: commit of the code, "unknown" if there was no repository.
        dirty: whether tracked files differed from the commit; None where this is unknown.
    """

    run_id: str | None = None
    run_url: str | None = None
    commit: str | None = None
    dirty: bool | None = None

    @property
    def web_address(self) -> str:
        """The run's page if its address is one of the web, else ""."""
        url = self.run_url or ""
        return url if url.startswith(("http://", "https://")) else ""


def write_report(
    tables: Sequence[GeneratedTable],
    links: Mapping[str, RunLink],
    out: Path,
    twins: Sequence[Twin] = (),
    *,
    figures: Sequence[FigureGroup] = (),
    written: str = "",
    evidence: ReportEvidence | None = None,
) -> Path:
    """Write ``tables`` as one self-contained, accessible and sealed HTML file.

    Its only script moves the dividers between the images; without it they stand side by side.

    Args:
        tables: as :func:`dgunet.paper.table_building.build_tables` returns them.
        links: the run that produced each result, by the result's ``per_image_sha256`` or, failing
            that, its ``checkpoint_sha256``. May be empty.
        out: path of the HTML file.
        twins: as :func:`dgunet.paper.twins.build_twins` returns them.
        figures: test images to show under the tables, as far as they fit on the page.
        written: date and code of the page, for its head.
        evidence: claims and trainings; without it the page says that they were not read.

    Returns:
        ``out``.

    Raises:
        DgunetError: if the file cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("dgunet.paper"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    render = partial(
        environment.get_template("report.html.j2").render,
        **evidence_sections(tables, twins, evidence or ReportEvidence()),
        tables=[_section(table, links) for table in tables],
        written=written,
        profiles=sorted({table.profile for table in tables}),
        notice=next((table.notice for table in tables if table.notice), ""),
        states=_legend(tables),
        verdicts=[(v, verdict_lines.MEANINGS[v], n) for v, n in count_verdicts(tables)],
        close=CLOSE,
        twins=twins_section(twins),
    )
    write_text(out, page_within_limit(lambda shown: sealed_page(render(figures=shown)), figures))
    return out


def _section(table: GeneratedTable, links: Mapping[str, RunLink]) -> dict[str, Any]:
    headings = table.headings()
    return {
        "table": table,
        "headings": headings,
        "groups": _groups(headings),
        "headline": verdict_lines.headline([table]),
        "compared": compared_lines(table),
        "lines": [
            (row, [_page_cell(table, row, heading, links) for heading in headings])
            for row in table.rows
        ],
    }


def _groups(headings: Sequence[Heading]) -> list[tuple[str, int]]:
    """The upper line of the heading: each label with the number of columns it spans."""
    return list(Counter(heading.top for heading in headings).items())


def _page_cell(
    table: GeneratedTable, row: str, heading: Heading, links: Mapping[str, RunLink]
) -> PageCell:
    cells = table.at(row, heading)
    first = cells[0]
    provenance = first.provenance
    keys = [provenance.per_image_sha256, provenance.checkpoint_sha256]
    link = next((links[key] for key in keys if key and key in links), RunLink())
    return PageCell(
        text=shown(cells).replace("/", "/\u200b"),  # a pair may be broken there
        change="/".join(_change(cell) for cell in cells if cell.difference is not None),
        source=first.source,
        state=first.state,
        rank=first.rank,
        name=f"Table {table.number}, {row}, {heading.flat}",
        verdict=worst_verdict(cells),
        hover="; ".join(f"{c.metric} {verdict_lines.verdict_text(c)}" for c in cells if c.verdict),
        facts=_facts(cells, link) if provenance.profile else (),
        run_id=link.run_id or "",
        run_url=link.web_address,
    )


def _change(cell: Cell) -> str:
    """Our value minus the paper's, with one digit more than the paper prints."""
    digits = len((cell.published or "").partition(".")[2]) + 1
    return verdict_lines.number(cell.difference, f"+.{digits}f")


def _facts(cells: Sequence[Cell], link: RunLink) -> tuple[tuple[str, str], ...]:
    provenance = cells[0].provenance
    ratio = "" if provenance.ratio is None else f", {provenance.ratio} %"
    result = f"{provenance.key}{ratio}" if provenance.key else None
    known = [
        *((cell.metric, _full(cell)) for cell in cells),
        *verdict_facts(cells),
        ("State", "; ".join(dict.fromkeys(_state(cell) for cell in cells))),
        ("Dataset", provenance.dataset),
        ("Profile", provenance.profile),
        ("Images", f"{provenance.images}; the benchmark has {provenance.published_images}"),
        ("Result", result),
        ("Weights", provenance.weights),
        ("Protocol", f"{provenance.protocol}, version {provenance.protocol_version}"),
        ("Code commit", _commit(link)),
        ("Data digest", provenance.data_digest),
        ("Checkpoint", provenance.checkpoint_sha256),
        ("Per-image metrics", provenance.per_image_sha256),
    ]
    return tuple((name, value) for name, value in known if value)


def _commit(link: RunLink) -> str:
    if not link.commit or link.commit == "unknown":
        return "not recorded"
    if link.dirty is None:
        return f"{link.commit} (uncommitted changes not recorded)"
    return f"{link.commit} with uncommitted changes" if link.dirty else link.commit


def _full(cell: Cell) -> str:
    value = "no value" if cell.value is None else f"{cell.value:.6f}"
    return f"{value} (the paper: {cell.published})" if cell.published else value


def _state(cell: Cell) -> str:
    return f"{cell.state} ({cell.note})" if cell.note else cell.state


def _legend(tables: Sequence[GeneratedTable]) -> list[tuple[str, str, int]]:
    counts = Counter(cell.state for table in tables for cell in table.cells.values())
    return [(s, MEANINGS[s], counts[s]) for s in get_args(CellState) if counts[s]]
