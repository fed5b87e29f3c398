"""Tables 1 to 6 of the paper as it prints them.

The values are in CSV files next to this module, one per table with one printed value per line. They
stay strings, since the paper prints "0.960" and "-", not 0.96 and NaN.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal, cast

import yaml

from dgunet.system.errors import DgunetError

NUMBERS = (1, 2, 3, 4, 5, 6)
Rank = Literal["best", "second", ""]
CellKey = tuple[str, str, str]
"""Row, column and metric of a value in its table."""


@dataclass(frozen=True)
class PublishedCell:
    """One printed value.

    Attributes:
        row, column, metric: its position; metric is "PSNR" (dB) or "SSIM".
        printed: the value as the paper prints it; "-" where the paper gives none.
        rank: "best" for bold, "second" for underlined, as printed.
        reference: number of the method's citation, None for the authors' own rows.
    """

    row: str
    column: str
    metric: str
    printed: str
    rank: Rank
    reference: int | None

    @property
    def value(self) -> float | None:
        """The printed value as a number, None for "-"."""
        return None if self.printed == "-" else float(self.printed)


@dataclass(frozen=True)
class PublishedTable:
    """One table of the paper.

    Attributes:
        number: 1 to 6.
        title: what it is about, in our words.
        caption: the paper's caption.
        methods: whether the compared methods are in the "rows" or in the "columns"; "none" in
            the ablations, whose columns are settings of one method.
        corner: heading of the first column, which has the row labels.
        rows, columns, metrics: labels in the paper's order.
        cells: every printed value by row, column and metric.
        decimals: number of printed decimals, by metric.
        citations: reference numbers that the paper prints for the test sets.
        notes: explanations of the printed values.
    """

    number: int
    title: str
    caption: str
    methods: Literal["rows", "columns", "none"]
    corner: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    metrics: tuple[str, ...]
    cells: dict[CellKey, PublishedCell]
    decimals: dict[str, int]
    citations: dict[str, int]
    notes: tuple[str, ...]

    def cell(self, row: str, column: str, metric: str = "PSNR") -> PublishedCell:
        """The printed value at a position.

        Raises:
            DgunetError: if the table has no such position; the hint lists its labels.
        """
        found = self.cells.get((row, column, metric))
        if found is None:
            raise DgunetError(
                f"Table {self.number} of the paper has no value at row {row!r}, column "
                f"{column!r}, metric {metric!r}.",
                f"Its rows are {', '.join(self.rows)}; its columns {', '.join(self.columns)}; "
                f"its metrics {', '.join(self.metrics)}.",
            )
        return found


@cache
def table(number: int) -> PublishedTable:
    """Table ``number`` (1 to 6) of the paper.

    Raises:
        DgunetError: if the paper has no such table.
    """
    if number not in NUMBERS:
        raise DgunetError(f"the paper has no Table {number}.", "Give a number from 1 to 6.")
    cells = [_cell(line) for line in _lines(number)]
    texts = _texts()[number]
    return PublishedTable(
        number=number,
        title=texts["title"],
        caption=texts["caption"],
        methods=texts["methods"],
        corner=texts["corner"],
        rows=tuple(dict.fromkeys(cell.row for cell in cells)),
        columns=tuple(dict.fromkeys(cell.column for cell in cells)),
        metrics=tuple(dict.fromkeys(cell.metric for cell in cells)),
        cells={(cell.row, cell.column, cell.metric): cell for cell in cells},
        decimals=texts["decimals"],
        citations=texts["citations"],
        notes=tuple(texts["notes"]),
    )


def tables() -> tuple[PublishedTable, ...]:
    """All six tables, in order."""
    return tuple(table(number) for number in NUMBERS)


def _cell(line: dict[str, str]) -> PublishedCell:
    return PublishedCell(
        row=line["row"],
        column=line["column"],
        metric=line["metric"],
        printed=line["value"],
        rank=cast(Rank, line["rank"]),
        reference=int(line["reference"]) if line["reference"] else None,
    )


def _lines(number: int) -> list[dict[str, str]]:
    text = files(__name__).joinpath(f"table{number}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


@cache
def _texts() -> dict[int, dict[str, Any]]:
    text = files(__name__).joinpath("tables.yaml").read_text(encoding="utf-8")
    return cast(dict[int, dict[str, Any]], yaml.safe_load(text))
