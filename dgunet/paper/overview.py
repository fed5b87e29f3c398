"""Our values next to the paper's, as Markdown for a run's description and as charts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dgunet.paper.cell_positions import Line
from dgunet.paper.cells import Cell
from dgunet.paper.generated_table import GeneratedTable, shown
from dgunet.paper.verdict_lines import headline

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DESCRIPTION_CHARACTERS = 7800
"""Limit of the description; MLflow keeps 8000 characters of a run's description."""


@dataclass(frozen=True)
class ComparedCells:
    """One position of a table: the paper's values and ours.

    Attributes:
        name: row and column in one, such as "Rain100H, DGUNet".
        cells: ours, one for each metric.
        printed: the paper's values in the same order, () where it has none.
    """

    name: str
    cells: tuple[Cell, ...]
    printed: tuple[Cell, ...]

    @property
    def published(self) -> str:
        """The paper's values as printed, "" where it has none."""
        return shown(list(self.printed)) if self.printed else ""

    @property
    def ours(self) -> str:
        """Our values, or the state where there are none."""
        return shown(list(self.cells))

    @property
    def outcome(self) -> str:
        """The verdict of each metric, once if they agree; for a sample the state."""
        if self.cells[0].source == "sample":
            return self.cells[0].state
        return "/".join(dict.fromkeys(cell.verdict or "" for cell in self.cells))

    @property
    def empty(self) -> bool:
        """Whether we have no value at this position."""
        return all(cell.value is None for cell in self.cells)


def compared_cells(table: GeneratedTable) -> list[ComparedCells]:
    """Every position of our results in ``table``, in its order, for the table's profile."""
    line: Line = "sample" if table.profile == "sample" else "reproduced"
    ours, theirs = _cells_by_name(table, line), _cells_by_name(table, "published")
    return [ComparedCells(name, cells, theirs.get(name, ())) for name, cells in ours.items()]


def describe(tables: Sequence[GeneratedTable], limit: int = DESCRIPTION_CHARACTERS) -> str:
    """The tables as Markdown of at most ``limit`` characters: the paper's values and ours.

    Positions without a value are counted, not listed. Tables that do not fit are named.
    """
    notice = next((table.notice for table in tables if table.notice), "")
    text = f"**{notice}**\n" if notice else f"Verdicts on our cells: {headline(tables)}.\n"
    left = "\nTables {} are in the run's files.\n"
    for index, table in enumerate(tables):
        section = _section(table)
        if len(text) + len(section) + len(left) + 20 > limit:
            numbers = ", ".join(str(other.number) for other in tables[index:])
            return text + left.format(numbers)
        text += section
    return text


def chart(table: GeneratedTable) -> Figure:
    """Chart of the first metric where we have a value, with the paper's value if comparable."""
    from matplotlib.figure import Figure  # here, because few of the importers draw

    known = [pair for pair in compared_cells(table) if not pair.empty]
    figure = Figure(figsize=(8, 1.6 + 0.3 * max(len(known), 3)), layout="constrained")
    axes = figure.add_subplot()
    height = range(len(known))
    printed = [_first(pair.printed) for pair in known]
    ours = [_first(pair.cells) for pair in known]
    if not table.notice:
        axes.hlines(height, printed, ours, color="0.8", zorder=1)
        axes.plot(printed, height, "o", markerfacecolor="white", color="black", label="paper")
    label = "sample, not comparable" if table.notice else "reproduced"
    axes.plot(ours, height, "o", color="tab:orange", label=label)
    axes.set_yticks(height, [pair.name for pair in known])
    axes.invert_yaxis()
    axes.set_xlabel(f"{table.metrics[0]} (dB)" if table.metrics[0] == "PSNR" else table.metrics[0])
    axes.set_title(table.heading, fontsize="medium")
    axes.grid(axis="x", alpha=0.3)
    if known:
        axes.legend(fontsize="small")
    return figure


def _section(table: GeneratedTable) -> str:
    every = compared_cells(table)
    known = [pair for pair in every if not pair.empty]
    absent = len(every) - len(known)
    lines = [f"\n**Table {table.number}: {table.title}** ({'/'.join(table.metrics)})\n"]
    if known:
        head = "state" if table.notice else "verdict"
        lines += [f"| | paper | ours | {head} |", "|---|---|---|---|"]
        lines += [f"| {p.name} | {p.published} | {p.ours} | {p.outcome} |" for p in known]
    if absent:
        lines.append(f"\n{absent} of {len(every)} entries have no value yet.")
    return "\n".join(lines) + "\n"


def _cells_by_name(table: GeneratedTable, source: Line) -> dict[str, tuple[Cell, ...]]:
    """The cells of one source by name, one for each metric in the table's order."""
    found: dict[str, dict[str, Cell]] = {}
    for cell in table.cells.values():
        if cell.source == source:
            found.setdefault(_name(cell.row, cell.column), {})[cell.metric] = cell
    return {
        name: tuple(cells[metric] for metric in table.metrics if metric in cells)
        for name, cells in found.items()
    }


def _name(row: str, column: str) -> str:
    """Row and column without the suffix "(reproduced)" and the like."""
    first, second = row.partition(" (")[0], column.partition(" (")[0]
    if first == "PSNR":  # the only row of Tables 5 and 6
        return second
    return f"{second}, {first}" if first.startswith("DGUNet") else f"{first}, {second}"


def _first(cells: Sequence[Cell]) -> float:
    """The value of the first metric, NaN without one."""
    value = cells[0].value if cells else None
    return float("nan") if value is None else value
