"""The benchmarks of `python -m benchmarks`, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks import (
    convolutions,
    inference,
    metrics_speed,
    sampling,
    store_crops,
    training,
    upkeep,
)
from benchmarks.pairs import Pair
from benchmarks.rows import Row


class Pairs(Protocol):
    """Gives the pairs of a benchmark on a device; ``quick``: the small ones."""

    def __call__(self, device: str, *, quick: bool) -> list[Pair]: ...


def _as_they_are(pairs: Sequence[Pair], folder: Path) -> Sequence[Pair]:
    return pairs


def _nothing(rows: Sequence[Row], device: str) -> None:
    return None


@dataclass(frozen=True)
class Suite:
    """One benchmark.

    Attributes:
        name: the first word of its files of results.
        title: heading of its tables.
        pairs: what is measured.
        prepared: writes what the pairs read into a folder; returns the pairs that read it.
        derived: from rows and device a text and the lines of a table, the first its head; None for
            none.
    """

    name: str
    title: str
    pairs: Pairs
    prepared: Callable[[Sequence[Pair], Path], Sequence[Pair]] = _as_they_are
    derived: Callable[[Sequence[Row], str], tuple[str, list[list[str]]] | None] = _nothing


SUITES = {
    suite.name: suite
    for suite in (
        Suite("inference", "Restoring images", inference.pairs),
        Suite("convolutions", "Chains of 3x3 convolutions", convolutions.pairs),
        Suite("training", "Training steps", training.pairs),
        Suite(
            "upkeep",
            "Validation, checkpoints and records beside training steps",
            upkeep.pairs,
            upkeep.prepared,
            upkeep.derived,
        ),
        Suite("sampling", "Sampling steps", sampling.pairs),
        Suite("metrics", "Metric protocols", metrics_speed.pairs),
        Suite("store", "Reading training crops", store_crops.pairs, store_crops.prepared),
    )
}
