"""The six tables as one HTML page, each number of ours a click away from what it rests on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from jinja2 import Environment, PackageLoader, StrictUndefined

from dgunet.paper.cells import Cell
from dgunet.paper.generated_table import GeneratedTable, Heading, shown
from dgunet.system.files import write_text
from dgunet.terms import CellState

MEANINGS: dict[CellState, str] = {
    "published": "printed in the paper",
    "measured": "the whole benchmark, scored under the protocol at parity with the paper",
    "partial": "not the whole benchmark, or another protocol; the number is in the details",
    "sample": "a run on the sample images; not comparable with the paper",
    "not run": "no result yet",
    "waiting for the server": "the ground truth is secret; the benchmark's server scores it",
    "not in the paper": "the paper's table has no such column",
}


@dataclass(frozen=True)
class Place:
    """One place of a table as the page shows it; ``facts`` is empty where no run stands behind."""

    text: str
    source: str
    state: str
    rank: str
    name: str
    facts: tuple[tuple[str, str], ...]
    run_id: str
    run_url: str


@dataclass(frozen=True)
class RunLink:
    """The run behind a result.

    Attributes:
        run_id: of MLflow; None or "" while it does not have the run.
        run_url: its page; only web addresses become links.
        commit: of the code, "unknown" where there was no repository.
        dirty: whether tracked files differed from the commit; None where nobody knows.
    """

    run_id: str | None = None
    run_url: str | None = None
    commit: str | None = None
    dirty: bool | None = None


def write_report(tables: Sequence[GeneratedTable], links: Mapping[str, RunLink], out: Path) -> Path:
    """Write ``tables`` as one self-contained, accessible HTML file without scripts.

    Args:
        tables: as :func:`dgunet.paper.table_building.build_tables` gives them.
        links: the run behind a result, by the result's ``per_image_sha256`` or, failing that,
            its ``checkpoint_sha256``. May be empty.
        out: path of the HTML file.

    Returns:
        ``out``.

    Raises:
        DgunetError: the file cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("dgunet.paper"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.j2").render(
        tables=[_section(table, links) for table in tables],
        profiles=sorted({table.profile for table in tables}),
        notice=next((table.notice for table in tables if table.notice), ""),
        states=_legend(tables),
    )
    write_text(out, page)
    return out


def _section(table: GeneratedTable, links: Mapping[str, RunLink]) -> dict[str, Any]:
    headings = table.headings()
    return {
        "table": table,
        "headings": headings,
        "groups": _groups(headings),
        "lines": [
            (row, [_place(table, row, heading, links) for heading in headings])
            for row in table.rows
        ],
    }


def _groups(headings: Sequence[Heading]) -> list[tuple[str, int]]:
    """The upper line of heading: each label with the number of columns it spans."""
    return list(Counter(heading.top for heading in headings).items())


def _place(
    table: GeneratedTable, row: str, heading: Heading, links: Mapping[str, RunLink]
) -> Place:
    cells = table.at(row, heading)
    first = cells[0]
    behind = first.provenance
    link = links.get(behind.per_image_sha256 or "") or links.get(behind.checkpoint_sha256 or "")
    link = link or RunLink()
    url = link.run_url or ""
    return Place(
        text=shown(cells),
        source=first.source,
        state=first.state,
        rank=first.rank,
        name=f"Table {table.number}, {row}, {heading.flat}",
        facts=_facts(cells, link) if behind.profile else (),
        run_id=link.run_id or "",
        # Only web addresses become links; anything else stays text.
        run_url=url if url.startswith(("http://", "https://")) else "",
    )


def _facts(cells: Sequence[Cell], link: RunLink) -> tuple[tuple[str, str], ...]:
    behind = cells[0].provenance
    known = [
        *((cell.metric, _full(cell)) for cell in cells),
        ("State", "; ".join(dict.fromkeys(_state(cell) for cell in cells))),
        ("Data set", behind.dataset),
        ("Profile", behind.profile),
        ("Images", f"{behind.images} of {behind.published_images}"),
        ("Result", behind.key if behind.ratio is None else f"{behind.key}, {behind.ratio} %"),
        ("Protocol", f"{behind.protocol}, version {behind.protocol_version}"),
        ("Code commit", _commit(link)),
        ("Data digest", behind.data_digest),
        ("Checkpoint", behind.checkpoint_sha256),
        ("Per-image metrics", behind.per_image_sha256),
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
