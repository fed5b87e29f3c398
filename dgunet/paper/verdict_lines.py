"""The verdicts on our cells as text: counts, one line per cell, and their meanings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import get_args

from dgunet.paper.cells import Cell
from dgunet.paper.generated_table import GeneratedTable
from dgunet.terms import CellVerdict

MEANINGS: dict[CellVerdict, str] = {
    "reproduced": "the published value within the tolerance",
    "close": "outside the tolerance, within three times the tolerance",
    "differs": "further away; the sign of the difference tells the direction",
    "infinite": "the mean PSNR is infinite, so that no difference is defined",
    "partial": "not the whole benchmark, or another network or protocol",
    "not run": "no result",
    "waiting for the server": "only the benchmark's server has the ground truth and scores it",
    "not comparable": "a run on the sample images",
    "no published value": "the paper has no value at this position",
}

HEADS = (
    "table",
    "row",
    "column",
    "metric",
    "value",
    "published",
    "difference",
    "interval_low",
    "interval_high",
    "confidence",
    "verdict",
    "tolerance",
    "tolerance_reason",
    "weights",
    "note",
)


def judged_cells(tables: Iterable[GeneratedTable]) -> list[Cell]:
    """Our cells: those of the reproduced lines, and of the sample's lines where there are any."""
    return [cell for table in tables for cell in table.cells.values() if cell.verdict]


def count_verdicts(tables: Iterable[GeneratedTable]) -> list[tuple[CellVerdict, int]]:
    """Every verdict that occurs, from the best on, with the number of our cells."""
    counts = Counter(cell.verdict for cell in judged_cells(tables))
    return [(verdict, counts[verdict]) for verdict in get_args(CellVerdict) if counts[verdict]]


def headline(tables: Iterable[GeneratedTable]) -> str:
    """The counts in one line, such as "12 reproduced, 3 close, 79 not run"."""
    return ", ".join(f"{count} {verdict}" for verdict, count in count_verdicts(tables))


def verdict_text(cell: Cell) -> str:
    """The verdict in a few words, such as "differs: 0.3120 dB lower"."""
    if cell.difference is None:
        return cell.verdict or ""
    unit = " dB" if cell.metric == "PSNR" else ""
    direction = "lower" if cell.difference < 0 else "higher"
    return f"{cell.verdict}: {abs(cell.difference):.4f}{unit} {direction}"


def verdict_lines(cells: Sequence[Cell]) -> list[dict[str, str]]:
    """One line of texts for each cell, under `HEADS`; values with four decimals."""
    return [
        dict(
            zip(
                HEADS,
                (
                    str(cell.table),
                    cell.row,
                    cell.column,
                    cell.metric,
                    number(cell.value),
                    cell.published or "",
                    number(cell.difference, "+.4f"),
                    number(cell.low),
                    number(cell.high),
                    number(cell.confidence, "g"),
                    cell.verdict or "",
                    number(cell.tolerance, "g"),
                    cell.tolerance_reason,
                    cell.provenance.weights or "",
                    cell.note,
                ),
                strict=True,
            )
        )
        for cell in cells
    ]


def number(value: float | None, form: str = ".4f") -> str:
    """``value`` as text, "" for None."""
    return "" if value is None else format(value, form)
