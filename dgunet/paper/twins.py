"""Leak-corrected twins: each of our cells without the test images that its training set has seen.

The change is the mean without these images minus the mean of all. With n images, s of them seen, it
is ``s/n (mean of the unseen - mean of the seen)``, so that the images that both means have cancel.
Its interval resamples unseen and seen images independently. For Table 1's average both are the
average of the five sets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import fsum
from typing import Any, Literal, NamedTuple

import numpy as np

from dgunet.paper import cell_positions, published
from dgunet.paper.cell_positions import Slot
from dgunet.paper.cells import Cell
from dgunet.paper.generated_table import GeneratedTable
from dgunet.paper.intervals import CONFIDENCE, Scores, interval_of_cell
from dgunet.paper.judging import RowsByDigest, scores_of
from dgunet.paper.overlaps import Overlaps, seen_images, statements_about, training_sets
from dgunet.paper.summaries import ResultKey, Summary, read_summaries
from dgunet.system.errors import DataError
from dgunet.system.reading import shorten

TwinState = Literal["corrected", "no image seen", "unknown", "no value"]


@dataclass(frozen=True)
class Twin:
    """A cell without the images that the training set has seen.

    Attributes:
        table, row, column, metric: the position of the cell.
        state: "corrected"; "no image seen" where the training set has none of the images;
            "unknown" where this was not checked; "no value" where the cell is not measured.
        note: the reason for the state, and what others state about the overlap.
        training_sets: of the row, separated by spaces; None where unknown.
        weights: origin of the weights.
        images, seen: number of test images, and of those that the training set has.
        value: the cell's.
        corrected: the mean without the seen images; None unless it is known.
        change: ``corrected`` minus ``value``, in units of the metric.
        low, high, confidence: interval of the change; None with too few images.
        data_digest, checkpoint_sha256: as in the cell.
    """

    table: int
    row: str
    column: str
    metric: str
    state: TwinState
    note: str = ""
    training_sets: str | None = None
    weights: str | None = None
    images: int | None = None
    seen: int | None = None
    value: float | None = None
    corrected: float | None = None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    confidence: float | None = None
    data_digest: str | None = None
    checkpoint_sha256: str | None = None

    def record(self) -> dict[str, Any]:
        """The twin as one flat record."""
        return asdict(self)


class _Parts(NamedTuple):
    """The scores of one test set: of unseen images, and of seen ones."""

    unseen: Scores
    seen: Scores


def build_twins(
    tables: Sequence[GeneratedTable],
    summaries: Iterable[Mapping[str, Any]],
    *,
    rows: RowsByDigest,
    overlaps: Overlaps,
) -> list[Twin]:
    """The twin of every reproduced cell, in the order of the tables.

    Args:
        tables: from :func:`dgunet.paper.table_building.build_tables`.
        summaries: the same as there.
        rows: the rows of the evaluations.
        overlaps: from :func:`dgunet.paper.overlaps.known_overlaps`.

    Raises:
        DataError: if a record of an overlap names an image that the test set does not have.
    """
    profile = tables[0].profile
    keys = cell_positions.result_keys()
    runs = read_summaries(summaries, profile=profile, keys=keys)
    made = []
    for table in tables:
        for slot in cell_positions.slots(published.table(table.number), "reproduced"):
            for metric in table.metrics:
                cell = table.cells[slot.row, slot.column, metric]
                made.append(_twin(cell, _found(slot, runs), rows, overlaps))
    return made


def _found(slot: Slot, runs: Mapping[ResultKey, Summary]) -> list[Summary]:
    names = [(dataset, slot.key, slot.ratio) for dataset in slot.datasets]
    return [runs[name] for name in names if name in runs]


def _twin(
    cell: Cell, found: Sequence[Summary], image_rows: RowsByDigest, overlaps: Overlaps
) -> Twin:
    at = (cell.table, cell.row, cell.column, cell.metric)
    if cell.state != "measured" or cell.value is None:
        note = f": {cell.note}" if cell.note else ""
        return Twin(*at, "no value", f"{cell.state}{note}")
    sets = {name: None for summary in found for name in training_sets(summary)}
    facts: dict[str, Any] = {
        "training_sets": " ".join(sets) or None,
        "weights": cell.provenance.weights,
        "images": cell.provenance.images,
        "value": cell.value,
        "data_digest": cell.provenance.data_digest,
        "checkpoint_sha256": cell.provenance.checkpoint_sha256,
    }
    notes = {note: None for summary in found for note in statements_about(summary, overlaps)}
    parts = [_parts(summary, image_rows, overlaps, cell.metric) for summary in found]
    if reasons := dict.fromkeys(part for part in parts if isinstance(part, str)):
        return Twin(*at, "unknown", "; ".join([*reasons, *notes]), **facts)
    known = [part for part in parts if not isinstance(part, str)]
    seen = sum(len(part.seen) for part in known)
    corrected = fsum(fsum(part.unseen) / len(part.unseen) for part in known) / len(known)
    interval = _interval(known) if seen else None
    return Twin(
        *at,
        "corrected" if seen else "no image seen",
        "; ".join(notes),
        seen=seen,
        corrected=corrected,
        change=corrected - cell.value,
        low=interval[0] if interval else None,
        high=interval[1] if interval else None,
        confidence=CONFIDENCE if interval else None,
        **facts,
    )


def _parts(
    summary: Summary, image_rows: RowsByDigest, overlaps: Overlaps, metric: str
) -> _Parts | str:
    """The scores of a test set in two parts, or the reason why they are not known."""
    seen = seen_images(summary, overlaps)
    if isinstance(seen, str):
        return seen
    rows = image_rows.get(summary.per_image_sha256 or "", ())
    scores = scores_of(rows, metric)
    if scores is None:
        return f"there are no {metric} scores of single images of {summary.dataset}"
    ids = [row.id for row in rows]
    if strange := sorted(seen - set(ids)):
        raise DataError(
            f"the overlaps name the image {shorten(strange[0])} of {summary.dataset}, which the "
            "evaluation of the same data does not have.",
            "Write them again with `dgunet data check --overlaps FILE`.",
        )
    mask = np.array([name in seen for name in ids])
    if mask.all():
        return f"the training set has every image of {summary.dataset}"
    return _Parts(scores[~mask], scores[mask])


def _interval(known: Sequence[_Parts]) -> tuple[float, float] | None:
    samples, weights = [], []
    for parts in known:
        if count := len(parts.seen):
            share = count / (count + len(parts.unseen)) / len(known)
            samples += [parts.unseen, parts.seen]
            weights += [share, -share]
    return interval_of_cell(samples, weights)
