"""Our cells with verdict, tolerance and interval, from the scores of single images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from dgunet.evaluation.rows import Row
from dgunet.paper.cell_positions import AVERAGE, Slot
from dgunet.paper.cells import Cell
from dgunet.paper.intervals import CONFIDENCE, Scores, interval_of_cell
from dgunet.paper.summaries import Summary
from dgunet.paper.verdicts import Position, judge, seed_spreads, tolerance_of

RowsByDigest = Mapping[str, Sequence[Row]]
"""The rows of each evaluation by its ``per_image_sha256``."""


def judged_cell(cell: Cell, slot: Slot, found: Sequence[Summary], rows: RowsByDigest) -> Cell:
    """``cell`` with its verdict, and with the interval of its mean where the rows are known.

    Args:
        cell: as :func:`dgunet.paper.cells.our_cell` returns it; a sample's is not compared.
        found: the available summaries of the slot's test sets, in their order.
        rows: of these evaluations; without them there is no interval.
    """
    if cell.source == "sample":
        return replace(cell, verdict="not comparable")
    position: Position = (
        AVERAGE if len(slot.datasets) > 1 else slot.datasets[0],
        slot.key,
        slot.ratio,
        cell.metric,
    )
    weights = {summary.weights for summary in found}
    tolerance = tolerance_of(
        weights.pop() if len(weights) == 1 else "other", position, seed_spreads()
    )
    judgement = judge(cell.state, cell.value, cell.published, tolerance)
    interval = None if cell.value is None else _interval(found, rows, cell.metric)
    return replace(
        cell,
        verdict=judgement.verdict,
        difference=judgement.difference,
        tolerance=judgement.tolerance,
        tolerance_reason=judgement.reason,
        low=interval[0] if interval else None,
        high=interval[1] if interval else None,
        confidence=CONFIDENCE if interval else None,
    )


def scores_of(rows: Sequence[Row], metric: str) -> Scores | None:
    """The scores of every image; None if one has none or is infinite."""
    values = [row.psnr if metric == "PSNR" else row.ssim for row in rows]
    known = [value for value in values if value is not None and np.isfinite(value)]
    return np.array(known, np.float64) if known and len(known) == len(values) else None


def _interval(
    found: Sequence[Summary], rows: RowsByDigest, metric: str
) -> tuple[float, float] | None:
    """The interval of the mean, or of the average of several sets' means with equal weights."""
    samples = [scores_of(rows.get(summary.per_image_sha256 or "", ()), metric) for summary in found]
    known = [sample for sample in samples if sample is not None]
    if len(known) < len(samples):
        return None
    return interval_of_cell(known, [1 / len(known)] * len(known))
