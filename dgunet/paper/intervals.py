"""The bootstrap interval of a weighted sum of means over images.

A cell's mean, the average of several test sets, and the change of a mean without some of its images
are all of this form. Images are resampled within each sample independently, with replacement. The
interval is the bias-corrected and accelerated one (BCa) of Efron, "Better Bootstrap Confidence
Intervals", Journal of the American Statistical Association 82 (1987), as SciPy computes it.

It describes how much the mean depends on the choice of the test images, not how much it varies
between trainings. With few images it is too narrow: see `FEWEST_IMAGES`. Every interval of the
project comes from `bootstrap_interval`, so that another method replaces it in one place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
"""Finite scores of the images of one sample."""

FEWEST_IMAGES = 10
"""With fewer images an interval decides nothing.

In a simulation (600 samples of normal and of exponential differences) nominal 95 % intervals
covered the mean in 84 to 79 % of the cases with 5 images, 91 to 89 % with 11, 93 to 91 % with 20.
"""

CONFIDENCE = 0.95
"""Nominal confidence of the interval of one cell, on its own."""

RESAMPLES = 9999
SEED = 20220618
"""Fixed, so that the same tables give the same interval."""


def interval_of_cell(
    samples: Sequence[Scores], weights: Sequence[float], confidence: float = CONFIDENCE
) -> tuple[float, float] | None:
    """The interval of ``sum(weight * mean(sample))``; the same input gives the same numbers.

    Args:
        samples: finite per-image scores, one array for each sample.
        weights: one for each sample.
        confidence: nominal confidence of the interval, in (0, 1).

    Returns:
        Its ends, or None where a sample has one image only, or all have fewer than
        `FEWEST_IMAGES` together.
    """
    if min(map(len, samples)) < 2 or sum(map(len, samples)) < FEWEST_IMAGES:
        return None
    return bootstrap_interval(samples, weights, confidence)


def bootstrap_interval(
    samples: Sequence[Scores], weights: Sequence[float], confidence: float
) -> tuple[float, float]:
    """As `interval_of_cell`, for any number of images from two; a single point if none varies."""
    from scipy.stats import bootstrap

    if all(np.ptp(sample) == 0 for sample in samples):
        point = float(sum(w * sample[0] for w, sample in zip(weights, samples, strict=True)))
        return point, point

    def statistic(*arrays: Scores, axis: int = -1) -> Any:
        means = (np.mean(array, axis=axis) for array in arrays)
        return sum(w * mean for w, mean in zip(weights, means, strict=True))

    found = bootstrap(
        tuple(samples),
        statistic,
        n_resamples=RESAMPLES,
        batch=max(1, 4_000_000 // max(map(len, samples))),
        vectorized=True,
        confidence_level=confidence,
        method="BCa",
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return float(found.low), float(found.high)
