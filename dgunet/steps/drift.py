"""How far two sets of scores agree: in all bits, in a number of digits, or not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dgunet.system.errors import DataError
from dgunet.system.reading import read_mapping

TOLERANCES = {"psnr": 0.05, "ssim": 0.001}
"""Absolute difference of a score (PSNR in dB) up to which only the digits differ. Larger ones are
not explained by other kernels; docs/dvc.md has the measurement behind these numbers."""


@dataclass(frozen=True)
class CellPair:
    """A cell in two sets of results.

    Attributes:
        evaluation: e.g. ``Rain100L-DGUNet``.
        score: ``psnr`` or ``ssim``.
        first: value in the first set; None if it has none.
        second: value in the second set; None if it has none.
    """

    evaluation: str
    score: str
    first: float | None
    second: float | None

    @property
    def name(self) -> str:
        """Evaluation and score."""
        return f"{self.evaluation} {self.score}"

    @property
    def same(self) -> bool:
        """Whether both values have the same bits."""
        return self.first == self.second

    @property
    def size(self) -> float:
        """Absolute difference; infinite if one of the values is missing."""
        if self.first is None or self.second is None:
            return math.inf
        return abs(self.first - self.second)

    @property
    def differs(self) -> bool:
        """Whether the difference exceeds the score's entry of `TOLERANCES`."""
        return not self.same and not self.size <= TOLERANCES[self.score]

    @property
    def digits(self) -> int | None:
        """Number of leading digits that agree; None if all bits do."""
        if self.same:
            return None
        if self.first is None or self.second is None or not math.isfinite(self.size):
            return 0
        relative = self.size / max(abs(self.first), abs(self.second))
        return max(0, math.floor(-math.log10(relative)))

    @property
    def verdict(self) -> str:
        """``same bits``, ``same to n digits`` or ``differs``."""
        if self.same:
            return "same bits"
        return "differs" if self.differs else f"same to {self.digits} digits"


def paired(
    first: Mapping[str, Mapping[str, Any]], second: Mapping[str, Mapping[str, Any]]
) -> list[CellPair]:
    """The cells of two sets of scores by evaluation, in the order of the first."""
    return [
        CellPair(name, score, a.get(score), b.get(score))
        for name in dict.fromkeys((*first, *second))
        for a, b in [(first.get(name, {}), second.get(name, {}))]
        for score in TOLERANCES
        if score in a or score in b
    ]


def scores_in(folder: Path) -> dict[str, Mapping[str, Any]]:
    """The scores in a folder such as ``results/sample/trained``, by evaluation; none if absent.

    Raises:
        DataError: if a file cannot be read.
    """
    return {
        path.stem: read_mapping(path) for path in sorted(folder.glob("*.json")) if path.is_file()
    }


def read_scores(folder: Path) -> dict[str, Mapping[str, Any]]:
    """The scores in a folder, as `scores_in`, which must have some.

    Raises:
        DataError: if the folder does not exist or has no scores, or a file cannot be read.
    """
    found = scores_in(folder)
    if not found:
        raise DataError(
            f"{folder} has no scores (*.json).",
            "Give a folder such as results/sample/trained, which `dvc repro` writes.",
        )
    return found


def drift_table(pairs: Sequence[CellPair]) -> str:
    """One line for each cell with both values and the verdict, and a line that counts them."""
    rows = [(pair.name, _shown(pair.first), _shown(pair.second), pair.verdict) for pair in pairs]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "  ".join((*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3]))
        for row in rows
    ]
    same, differing = sum(pair.same for pair in pairs), sum(pair.differs for pair in pairs)
    close = len(pairs) - same - differing
    return "\n".join(
        (
            *lines,
            f"cells: {len(pairs)}; same bits: {same}; same digits: {close}; differ: {differing}",
        )
    )


def _shown(value: float | None) -> str:
    return "missing" if value is None else repr(value)
