"""Tables 1 to 6: the paper's published values with ours next to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from dgunet.data.catalogue.entries import CATALOGUE
from dgunet.paper import cell_positions, published
from dgunet.paper.cell_positions import Line, Slot
from dgunet.paper.cells import Cell, absent_cell, our_cell, published_cell
from dgunet.paper.generated_table import GeneratedTable
from dgunet.paper.judging import RowsByDigest, judged_cell
from dgunet.paper.published import CellKey, PublishedTable
from dgunet.paper.summaries import ResultKey, Summary, combined_digest, read_summaries

Runs = dict[ResultKey, Summary]

NO_ROWS: RowsByDigest = MappingProxyType({})


def build_tables(
    summaries: Iterable[Mapping[str, Any]], *, profile: str, rows: RowsByDigest = NO_ROWS
) -> list[GeneratedTable]:
    """Build the six tables, with every published value and our results next to them.

    Under the paper profile, our "(reproduced)" lines are filled by complete runs at parity with
    the paper's protocol. Under the sample profile they stay "not run", and the sample's numbers
    are in separate lines, labelled "(sample, not comparable)".

    Args:
        summaries: the parsed ``summary.json`` of each evaluated test set, in any order.
        profile: "sample" or "paper".
        rows: the rows of the evaluations, from which the intervals are computed; a cell whose
            rows are missing has no interval.

    Raises:
        ConfigError, DataError: see :func:`dgunet.paper.summaries.read_summaries`.
    """
    runs = read_summaries(summaries, profile=profile, keys=cell_positions.result_keys())
    return [_build(table, runs, profile, rows) for table in published.tables()]


def _build(
    table: PublishedTable, runs: Runs, profile: str, image_rows: RowsByDigest
) -> GeneratedTable:
    lines: tuple[Line, ...] = ("reproduced", "sample") if profile == "sample" else ("reproduced",)
    cells = _published_cells(table)
    for line in lines:
        # Under the sample profile no result may fill the reproduced line.
        usable = runs if (line == "sample") == (profile == "sample") else {}
        for slot in cell_positions.slots(table, line):
            cells += _our_cells(table, slot, line, usable, image_rows)
    by_key = {(cell.row, cell.column, cell.metric): cell for cell in cells}
    rows = tuple(dict.fromkeys(cell.row for cell in cells))
    columns = tuple(dict.fromkeys(cell.column for cell in cells))
    used = _used(table, runs)
    return GeneratedTable(
        number=table.number,
        title=table.title,
        caption=table.caption,
        corner=table.corner,
        profile=profile,
        data_digest=combined_digest(used),
        notes=(*table.notes, *_count_notes(table), *_selection_notes(used)),
        rows=rows,
        columns=columns,
        metrics=table.metrics,
        cells={
            (row, column, metric): by_key[row, column, metric]
            for row in rows
            for column in columns
            for metric in table.metrics
        },
        joined=table.methods == "columns",
    )


def _published_cells(table: PublishedTable) -> list[Cell]:
    cells = []
    for row in table.rows:
        for column in cell_positions.columns(table):
            for metric in table.metrics:
                printed = table.cells.get((row, column, metric))
                if printed is None:
                    reference = table.cell(row, table.columns[0]).reference
                    name = cell_positions.published_label(row, reference)
                    cells.append(absent_cell(table.number, name, column, metric, reference))
                else:
                    at = _published_labels(table, (row, column, metric))
                    cells.append(published_cell(table.number, *at, printed))
    return cells


def _published_labels(table: PublishedTable, key: CellKey) -> tuple[str, str]:
    row, column, _ = key
    reference = table.cells[key].reference
    if table.methods == "rows":
        return cell_positions.published_label(row, reference), column
    if table.methods == "columns":
        return row, cell_positions.published_label(column, reference)
    return cell_positions.label(row, "published"), column


def _our_cells(
    table: PublishedTable, slot: Slot, line: Line, runs: Runs, rows: RowsByDigest
) -> list[Cell]:
    names = [(dataset, slot.key, slot.ratio) for dataset in slot.datasets]
    found = [runs[name] for name in names if name in runs]
    cells = [
        our_cell(
            table.number,
            slot,
            metric,
            line,
            found,
            table.cells.get((slot.paper_row, slot.paper_column, metric)),
            table.decimals[metric],
        )
        for metric in table.metrics
    ]
    return [judged_cell(cell, slot, found, rows) for cell in cells]


def _used(table: PublishedTable, runs: Runs) -> list[Summary]:
    """The summaries that fill cells of ``table``."""
    names = {
        (dataset, slot.key, slot.ratio)
        for slot in cell_positions.slots(table, "reproduced")
        for dataset in slot.datasets
    }
    return [summary for name, summary in runs.items() if name in names]


def _count_notes(table: PublishedTable) -> list[str]:
    """Notes on datasets of which the paper prints another number of pairs than it used."""
    return [
        f"{info.name}: {info.print_note}."
        for info in CATALOGUE.values()
        if table.number in info.tables and info.print_note
    ]


def _selection_notes(used: list[Summary]) -> list[str]:
    """Notes on weights that were selected on a test set."""
    rows: dict[str, list[str]] = {}
    for summary in used:
        if summary.chosen_on:
            rows.setdefault(summary.chosen_on, []).append(f"{summary.row} on {summary.dataset}")
    return [
        f"The weights of {', '.join(names)} are the best on the test set {chosen}, as the authors' "
        "code chooses them."
        for chosen, names in sorted(rows.items())
    ]
