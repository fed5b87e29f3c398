"""The test of one effect against a margin, Holm's correction, and the power that the data had.

The test belongs to the interval of `dgunet.paper.intervals`: its p-value is the smallest level at
which the interval of confidence ``1 - level`` leaves out the margin, found with that same function.
A p-value of at most `ALPHA` and an interval of 95 % that leaves out the margin are therefore one
statement.

An effect is a weighted sum of means of independent samples. With several trainings of a network,
the deviations of the trainings' means are a further sample of mean zero: it moves no effect, and
adds the variation between trainings to its standard error (see `dgunet.paper.claims.effects`).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, sqrt

import numpy as np
from numpy.typing import NDArray

from dgunet.paper.intervals import RESAMPLES, Scores, mean_intervals

ALPHA = 0.05
"""Level of a claim, two-sided, after Holm's correction; 1 - confidence of the intervals."""

POWER = 0.8
"""Probability with which the detectable effect is found."""

SPREAD_CONFIDENCE = 0.95
"""One-sided confidence of the spread with which the detectable effect is computed."""

_STEPS = (RESAMPLES + 1) // 2
"""Levels that the bootstrap distinguishes."""


def sides(samples: Sequence[Scores], margins: Scores, level: float) -> NDArray[np.int64]:
    """Where the intervals of confidence ``1 - level`` of many effects lie.

    Args:
        samples: finite scores (experiments, observations), one array for each sample.
        margins: (experiments,).
        level: two-sided, in (0, 1).

    Returns:
        1 above the margin, -1 below it, 0 for an interval with the margin; (experiments,).
    """
    low, high = mean_intervals(samples, [1.0] * len(samples), 1 - level)
    return (low > margins).astype(np.int64) - (high < margins)


def p_value(samples: Sequence[Scores], margin: float) -> tuple[float, int]:
    """The two-sided p-value of "the effect is the margin", and the side of the effect.

    Args:
        samples: finite scores (observations,), one array for each sample, two or more in each.
        margin: the effect under test.

    Returns:
        The smallest level, in steps of 2 / 10,000, at which the interval leaves out the margin, and
        1 if the effect is above it, -1 below; 1.0 and 0 if it is the margin at every level.
    """
    batch, margins = [sample[None] for sample in samples], np.array([margin])
    first, last = 1, _STEPS
    if side := int(sides(batch, margins, first / _STEPS)[0]):
        return first / _STEPS, side  # as of most claims on many images, at a tenth of the cost
    while first < last:  # the intervals are nested
        step = (first + last) // 2
        found = int(sides(batch, margins, step / _STEPS)[0])
        if found:
            last, side = step, found
        else:
            first = step + 1
    return first / _STEPS, side


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the given order.

    At most `ALPHA` for all hypotheses of a family that Holm, "A simple sequentially rejective
    multiple test procedure", Scandinavian Journal of Statistics 6 (1979), rejects.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def detectable(samples: Sequence[Scores], level: float) -> float:
    """How far above its margin an effect must lie to be found with the probability `POWER`.

    The interval's reach at this level is taken from the data, in standard errors; the effect's
    distance to it is that of a noncentral t with Welch's degrees of freedom. The standard error is
    the upper end of its one-sided interval of `SPREAD_CONFIDENCE`: estimated from a few images, it
    is too small as often as too large, and the promise would fail as often.

    Args:
        samples: as in `p_value`.
        level: two-sided, in (0, 1): the strictest of Holm's correction for a promise that holds
            whatever the other claims are.

    Returns:
        In dB; 0 for samples without any spread, infinite where the interval has no lower end.
    """
    from scipy.special import chdtri, nctdtrinc

    batch = [sample[None] for sample in samples]
    (low,), _ = mean_intervals(batch, [1.0] * len(batch), 1 - level)
    error, freedom = _standard_error(samples)
    reach = sum(float(sample.mean()) for sample in samples) - float(low)
    if not error or not np.isfinite(reach):
        return 0.0 if not error else inf
    upper = error * sqrt(freedom / float(chdtri(freedom, SPREAD_CONFIDENCE)))
    return upper * float(nctdtrinc(freedom, 1 - POWER, reach / error))


def _standard_error(samples: Sequence[Scores]) -> tuple[float, float]:
    """The standard error of the sum of the samples' means, and Welch's degrees of freedom."""
    parts = [float(sample.var(ddof=1)) / len(sample) for sample in samples]
    variance = sum(parts)
    welch = sum(part**2 / (len(s) - 1) for part, s in zip(parts, samples, strict=True))
    return sqrt(variance), variance**2 / welch if welch else 1.0
