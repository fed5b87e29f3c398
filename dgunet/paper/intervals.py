"""The confidence interval of a weighted sum of means over images.

A cell's mean, the mean difference of two networks, the average of several test sets, and the change
of a mean without some of its images are all of this form. The interval is the outer of two:

- Student's t interval, with Welch's degrees of freedom for several samples: right for normal and
  heavy-tailed symmetric scores at any number of images, too narrow on one side for skewed ones.
- The studentised bootstrap (bootstrap-t) of Efron, "Nonparametric Standard Errors and Confidence
  Intervals", Canadian Journal of Statistics 9 (1981), which follows the skewness: images are
  resampled within each sample independently, with replacement.

It describes how much the mean depends on the choice of the test images, not how much it varies
between trainings. `python -m benchmarks.coverage` measures how often it contains the true mean;
docs/coverage.md has the figures. Every interval of the project is computed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
"""Finite scores of the images of one sample."""

FEWEST_IMAGES = 10
"""With fewer images an interval decides nothing; the coverage is measured from here on."""

CONFIDENCE = 0.95
"""Nominal confidence of the interval of one cell, on its own."""

RESAMPLES = 9999
SEED = 20220618
"""Fixed, so that the same tables give the same interval."""

_ROUNDING = 1e-12
"""Relative size up to which a spread is one of rounding errors."""

_BATCH = 4_000_000
"""Drawn images at a time, which bounds the memory."""


def interval_of_cell(
    samples: Sequence[Scores], weights: Sequence[float], confidence: float = CONFIDENCE
) -> tuple[float, float] | None:
    """The interval of ``sum(weight * mean(sample))``; the same input gives the same numbers.

    Args:
        samples: finite per-image scores, one array for each sample.
        weights: one for each sample.
        confidence: nominal confidence of the interval, in (0, 1).

    Returns:
        Its ends, or None where a sample has one image only, all have fewer than `FEWEST_IMAGES`
        together, or so many scores are equal that an end is infinite.
    """
    if min(map(len, samples)) < 2 or sum(map(len, samples)) < FEWEST_IMAGES:
        return None
    (low,), (high,) = mean_intervals([sample[None] for sample in samples], weights, confidence)
    return (float(low), float(high)) if np.isfinite([low, high]).all() else None


def mean_intervals(
    samples: Sequence[Scores], weights: Sequence[float], confidence: float
) -> tuple[Scores, Scores]:
    """The intervals of many experiments at once, each from two images in every sample.

    Where the scores do not vary beyond rounding errors, the interval is a single point. An end is
    infinite where so many scores are equal that resamples without any spread are more frequent than
    the confidence allows.

    Args:
        samples: finite scores (experiments, images), one array for each sample.
        weights: one for each sample.
        confidence: nominal confidence, in (0, 1).

    Returns:
        Lower and upper ends, (experiments,) each.
    """
    middle = sum(w * s.mean(axis=1) for w, s in zip(weights, samples, strict=True))
    centred = [sample - sample.mean(axis=1, keepdims=True) for sample in samples]
    largest = np.max([np.abs(sample).max(axis=1) for sample in samples], axis=0)
    spread = np.max([np.abs(values).max(axis=1) for values in centred], axis=0)
    varies = spread > _ROUNDING * largest
    unit = np.where(varies, spread, 1.0)  # so that no square of tiny scores vanishes
    parts = [values / unit[:, None] for values in centred]
    reach, error = _student_t(parts, weights, confidence)
    lowest, highest = _bootstrap_t(parts, weights, error, confidence)
    low = middle - np.maximum(reach, highest) * error * unit
    high = middle + np.maximum(reach, -lowest) * error * unit
    return np.where(varies, low, middle), np.where(varies, high, middle)


def _student_t(
    centred: Sequence[Scores], weights: Sequence[float], confidence: float
) -> tuple[Scores, Scores]:
    """The quantile of Student's t, and the standard error of the weighted sum, by experiment."""
    from scipy.special import stdtrit

    parts = [
        w * w * np.mean(s * s, axis=1) / (s.shape[1] - 1)
        for w, s in zip(weights, centred, strict=True)
    ]
    variance = np.sum(parts, axis=0)
    welch = sum(part**2 / (s.shape[1] - 1) for part, s in zip(parts, centred, strict=True))
    freedom = np.divide(variance**2, welch, out=np.ones_like(variance), where=variance > 0)
    return stdtrit(freedom, (1 + confidence) / 2), np.sqrt(variance)


def _bootstrap_t(
    centred: Sequence[Scores], weights: Sequence[float], error: Scores, confidence: float
) -> tuple[Scores, Scores]:
    """The quantiles of the studentised resampled sums at both tails, by experiment."""
    change = np.zeros((len(error), RESAMPLES))
    variance = np.zeros_like(change)
    generator = np.random.default_rng(SEED)
    for values, weight in zip(centred, weights, strict=True):
        images = values.shape[1]
        step = max(1, _BATCH // images)
        for first in range(0, RESAMPLES, step):
            part = slice(first, min(first + step, RESAMPLES))
            counts = _counts(generator, part.stop - part.start, images)
            mean = values @ counts.T / images
            square = (values * values) @ counts.T / images
            spread = square - mean**2
            spread[spread <= _ROUNDING * square] = 0.0  # a resample of equal scores
            change[:, part] += weight * mean
            variance[:, part] += weight * weight * spread / (images - 1)
    flat = np.where(np.abs(change) > _ROUNDING * error[:, None], np.copysign(inf, change), 0.0)
    ratio = np.divide(change, np.sqrt(variance), out=flat, where=variance > 0)
    rank = max(0, round((RESAMPLES + 1) * (1 - confidence) / 2) - 1)
    ratio.partition((rank, RESAMPLES - 1 - rank), axis=1)
    return ratio[:, rank], ratio[:, RESAMPLES - 1 - rank]


def _counts(generator: np.random.Generator, resamples: int, images: int) -> Scores:
    """How often each image is in each resample, (resamples, images)."""
    drawn = generator.integers(0, images, (resamples, images))
    drawn += np.arange(resamples)[:, None] * images
    flat = np.bincount(drawn.ravel(), minlength=resamples * images)
    return flat.reshape(resamples, images).astype(np.float64)
