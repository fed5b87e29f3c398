"""Positions and labels of our results in each of the paper's tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dgunet.paper import published
from dgunet.paper.published import PublishedTable
from dgunet.terms import ABLATION_SET, ABLATIONS, VARIANTS

Line = Literal["published", "reproduced", "sample"]
"""The three origins of a value: printed in the paper, our full run, our sample run."""

AVERAGE = "Average"
TWELFTH_SET = "RealBlur-J"
TWELFTH_COLUMN = "RealBlur-J (12th set, not in the paper's table)"
_ABLATION_OF = {
    column: name for name, ablation in ABLATIONS.items() for column in ablation.columns.values()
}
"""Columns of Tables 5 and 6 -> ablation; the full DGUNet+ is in both tables."""

_SUFFIX = {"published": "published", "reproduced": "reproduced", "sample": "sample, not comparable"}


@dataclass(frozen=True)
class Slot:
    """One position of our results in a table, for every metric of that table.

    Attributes:
        row, column: labels in the generated table.
        paper_row, paper_column: labels of the same position in the paper's table.
        datasets: the test set scored there; five test sets for the average of Table 1.
        key: "DGUNet", "DGUNet+" or an ablation key.
        ratio: compressive-sensing ratio in percent, or None.
    """

    row: str
    column: str
    paper_row: str
    paper_column: str
    datasets: tuple[str, ...]
    key: str
    ratio: int | None = None


def label(method: str, line: Line) -> str:
    """The label of one of our rows or the authors', such as "DGUNet+ (reproduced)"."""
    return f"{method} ({_SUFFIX[line]})"


def published_label(method: str, reference: int | None) -> str:
    """A published method's label: with its citation, or marked as the authors' own."""
    return label(method, "published") if reference is None else f"{method} [{reference}]"


def columns(table: PublishedTable) -> tuple[str, ...]:
    """The paper's columns, with the twelfth set next to GoPro and HIDE in Table 2."""
    return (*table.columns, TWELFTH_COLUMN) if table.number == 2 else table.columns


def slots(table: PublishedTable, line: Line) -> list[Slot]:
    """Every position of our results in ``table``, in its order, for one line of results."""
    if table.methods == "none":
        name = label("PSNR", line)
        return [
            Slot(name, column, "PSNR", column, (ABLATION_SET,), _ABLATION_OF[column])
            for column in table.columns
        ]
    if table.methods == "columns":
        return [_ratio_slot(row, variant, line) for variant in VARIANTS for row in table.rows]
    return [
        Slot(label(variant, line), column, variant, column, _datasets(table, column), variant)
        for variant in VARIANTS
        for column in columns(table)
    ]


def result_keys() -> set[tuple[str, str, int | None]]:
    """Every (test set, row, ratio) for which a table has a cell."""
    every = [slot for table in published.tables() for slot in slots(table, "reproduced")]
    return {(name, slot.key, slot.ratio) for slot in every for name in slot.datasets}


def _ratio_slot(row: str, variant: str, line: Line) -> Slot:
    dataset, ratio = row.split()
    column = label(variant, line)
    return Slot(row, column, row, variant, (dataset,), variant, int(ratio.removesuffix("%")))


def _datasets(table: PublishedTable, column: str) -> tuple[str, ...]:
    if column == AVERAGE:
        return tuple(name for name in table.columns if name != AVERAGE)
    return (TWELFTH_SET,) if column == TWELFTH_COLUMN else (column,)
