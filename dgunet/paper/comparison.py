"""Comparison of a network with a baseline on a test set: paired by image, with an interval.

Both networks restore the same images. The difference in PSNR is taken per image and then averaged,
so the difficulty of an image cancels. `dgunet.paper.intervals` gives the interval of the mean
difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dgunet.paper.intervals import FEWEST_IMAGES, bootstrap_interval
from dgunet.system.errors import EvaluationError

Verdict = Literal["better", "worse", "no difference shown", "too few images"]


@dataclass(frozen=True)
class SetComparison:
    """The comparison of a network with a baseline on one test set.

    Attributes:
        dataset: the test set.
        images: number of images compared.
        candidate, baseline: mean PSNR in dB over these images.
        difference: mean of candidate minus baseline, in dB.
        low, high: ends of the interval of this mean, in dB.
        confidence: confidence of the interval, in (0, 1).
        verdict: what the interval shows.
    """

    dataset: str
    images: int
    candidate: float
    baseline: float
    difference: float
    low: float
    high: float
    confidence: float
    verdict: Verdict


def compare_sets(
    tables: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]],
    *,
    confidence: float = 0.95,
    baseline_column: str = "psnr",
) -> list[SetComparison]:
    """Compare a network with a baseline on several test sets.

    The confidence holds for all intervals together: each has the confidence
    ``1 - (1 - confidence) / sets`` (Bonferroni), so that a false "better" does not become more
    likely with the number of sets.

    Args:
        tables: per-image tables of candidate and baseline by test set; columns ``id``, ``psnr``,
            ``protocol`` and ``protocol_version``.
        confidence: joint confidence that all intervals contain their true means.
        baseline_column: column of the baseline's scores; ``input_psnr`` compares with the degraded
            images themselves.

    Raises:
        EvaluationError: if there is no test set, or the two tables of one differ in images or
            protocol.
    """
    if not tables:
        raise EvaluationError("there is no test set to compare on.", "Evaluate both networks.")
    each = 1 - (1 - confidence) / len(tables)
    return [
        _compare(name, candidate, baseline, each, baseline_column)
        for name, (candidate, baseline) in tables.items()
    ]


def is_better(compared: Sequence[SetComparison]) -> bool:
    """Whether the verdict is "better" on at least one set, and "worse" or unknown on none."""
    verdicts = {comparison.verdict for comparison in compared}
    return "better" in verdicts and verdicts <= {"better", "no difference shown"}


def as_table(compared: Sequence[SetComparison]) -> pd.DataFrame:
    """The comparison for display: one line per test set, numbers as text."""
    return pd.DataFrame(
        {
            "set": c.dataset,
            "images": c.images,
            "candidate": f"{c.candidate:.2f}",
            "reference": f"{c.baseline:.2f}",
            "difference (dB)": f"{c.difference:+.3f}",
            f"{100 * c.confidence:.3g} % interval": f"{c.low:+.3f} to {c.high:+.3f}",
            "verdict": c.verdict,
        }
        for c in compared
    )


def _compare(
    name: str,
    candidate: pd.DataFrame,
    baseline: pd.DataFrame,
    confidence: float,
    baseline_column: str,
) -> SetComparison:
    for column in ("protocol", "protocol_version"):
        ours, theirs = set(candidate[column]), set(baseline[column])
        if ours != theirs:
            raise EvaluationError(
                f"{name}: {column} is {_names(ours)} for one network and {_names(theirs)} for the "
                "other.",
                "Score both under the same protocol.",
            )
    pairs = candidate[["id", "psnr"]].merge(
        baseline[["id", baseline_column]].set_axis(["id", "baseline"], axis=1),
        on="id",
        validate="one_to_one",
    )
    if not len(pairs) == len(candidate) == len(baseline):
        raise EvaluationError(
            f"{name}: {len(candidate)} and {len(baseline)} images, {len(pairs)} in common.",
            "Score both on the same images.",
        )
    scores = pairs[["psnr", "baseline"]].to_numpy(np.float64)
    if not np.isfinite(scores).all():
        raise EvaluationError(
            f"{name} has images without a finite PSNR.", "Leave this set out of the comparison."
        )
    differences = scores[:, 0] - scores[:, 1]
    low, high = interval(differences, confidence)
    return SetComparison(
        name,
        len(pairs),
        float(scores[:, 0].mean()),
        float(scores[:, 1].mean()),
        float(differences.mean()),
        low,
        high,
        confidence,
        _verdict(len(pairs), low, high),
    )


def interval(differences: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    """The BCa interval of the mean of ``differences``; a single point if all are equal."""
    return bootstrap_interval([differences], [1.0], confidence)


def _verdict(images: int, low: float, high: float) -> Verdict:
    if images < FEWEST_IMAGES:
        return "too few images"
    if low > 0:
        return "better"
    return "worse" if high < 0 else "no difference shown"


def _names(values: set[Any]) -> str:
    return ", ".join(sorted(map(str, values)))
