"""Comparison of written cells with the same cells computed from the evaluations again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dgunet.evaluation.summary import EvaluationSummary
from dgunet.paper.formats import cells_frame
from dgunet.paper.table_building import build_tables
from dgunet.steps.tables import CheckedResult, summaries_and_rows, with_server_scores
from dgunet.system.reading import shorten

_OF_ALL_TABLES = ("tables_data_digest", "tables_profile", "title")
"""Columns that depend on all evaluations, also those that are not available."""

_POSITION = ["table", "row", "column", "metric"]


@dataclass(frozen=True)
class Recomputed:
    """The comparison of written tables with the available evaluations.

    Attributes:
        compared: number of cells with a result that were computed again.
        unavailable: number of cells with a result whose evaluations are not available.
        differences: one phrase for each cell that differs.
    """

    compared: int
    unavailable: int
    differences: tuple[str, ...]


def cell_difference(written: Mapping[str, Any], computed: Mapping[str, Any]) -> str | None:
    """Return the first difference of a written cell, or None.

    A cell whose evaluations are not all available has none; see `is_available`.
    """
    if not is_available(computed):
        return None
    for name, value in written.items():
        if name not in _OF_ALL_TABLES and computed[name] != value:
            return (
                f"Table {written['table']}, {written['row']}, {written['column']} "
                f"{written['metric']}: {name} is {shorten(value)}, the evaluation gives "
                f"{shorten(computed[name])}"
            )
    return None


def is_available(computed: Mapping[str, Any]) -> bool:
    """Whether all evaluations of a computed cell are available."""
    note = computed["note"] or ""
    return computed["state"] != "not run" and not re.fullmatch(r"\d+ of \d+ sets", note)


def recompute(
    written: pd.DataFrame, results: Iterable[CheckedResult], records: Path | None
) -> Recomputed:
    """Compute the cells of written tables again from those evaluations that they name.

    Args:
        written: from `dgunet.paper.written_tables.read_cells`.
        results: evaluations; of several with one name the first is used.
        records: folder of the scores from DND's server.

    Raises:
        DgunetError: if the evaluations do not fit each other; as `build_tables`.
    """
    named, (profile,) = set(written["per_image_sha256"].dropna()), set(written["tables_profile"])
    chosen: dict[str, CheckedResult] = {}
    for each in results:
        summary: EvaluationSummary = each[1]
        if summary.profile == profile and summary.per_image_sha256 in named:
            chosen.setdefault(summary.name, each)
    found, rows = summaries_and_rows(chosen.values())
    tables = build_tables(with_server_scores(found, records), profile=profile, rows=rows)
    computed = {_position(cell): cell for cell in _records(cells_frame(tables))}
    differences, compared, unavailable = [], 0, 0
    for cell in _records(written):
        if cell["source"] == "published" or cell["state"] == "not run":
            continue
        again = computed.get(_position(cell))
        if again is None:
            differences.append(f"no table has a cell {_position(cell)}")
        elif not is_available(again):
            unavailable += 1
        else:
            compared += 1
            differences += [text] if (text := cell_difference(cell, again)) else []
    return Recomputed(compared, unavailable, tuple(differences))


def _records(cells: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """The cells as dictionaries, with None for what is missing."""
    plain = cells.astype(object).where(cells.notna(), None)
    yield from ({str(k): v for k, v in cell.items()} for cell in plain.to_dict("records"))


def _position(cell: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(cell[name] for name in _POSITION)
