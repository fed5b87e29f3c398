"""Is one network better than another on a test set? Paired, image by image, with an interval.

Both networks restore the same images, so the difference is taken per image before it is averaged;
what makes one image harder than another drops out. The interval of the mean difference is the
bias-corrected and accelerated (BCa) bootstrap of Efron, "Better Bootstrap Confidence Intervals",
Journal of the American Statistical Association 82 (1987), as SciPy computes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dgunet.system.errors import EvaluationError

Verdict = Literal["better", "worse", "no difference shown", "too few images"]

FEWEST_IMAGES = 10
"""Below this no verdict. In a simulation (600 samples of normal and of exponential differences) the
nominal 95 % were 84 to 79 % with 5 images, 91 to 89 % with 11, and 93 to 91 % with 20."""

RESAMPLES = 9999
SEED = 20220618
"""Fixed, so that the same tables give the same interval."""


@dataclass(frozen=True)
class SetComparison:
    """What one test set says about two networks.

    Attributes:
        dataset: the test set.
        images: pairs compared.
        candidate, reference: mean PSNR in dB over these.
        difference: mean of candidate minus reference, in dB.
        low, high: the interval of that mean, in dB.
        confidence: of this interval.
        verdict: what follows from it.
    """

    dataset: str
    images: int
    candidate: float
    reference: float
    difference: float
    low: float
    high: float
    confidence: float
    verdict: Verdict


def compare_sets(
    tables: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]],
    *,
    confidence: float = 0.95,
    reference_column: str = "psnr",
) -> list[SetComparison]:
    """Compare two networks on several test sets.

    The intervals hold together: each has the confidence ``1 - (1 - confidence) / sets``
    (Bonferroni), so that more sets give no more chances of a false "better".

    Args:
        tables: per-image tables of candidate and reference by test set; columns ``id``, ``psnr``,
            ``protocol`` and ``protocol_version``.
        confidence: that no interval of all misses its true mean.
        reference_column: ``input_psnr`` compares with the degraded images themselves.

    Raises:
        EvaluationError: if there is no set, or a set's tables are of other images or protocols.
    """
    if not tables:
        raise EvaluationError("there is no test set to compare on.", "Evaluate both networks.")
    each = 1 - (1 - confidence) / len(tables)
    return [
        _compare(name, candidate, reference, each, reference_column)
        for name, (candidate, reference) in tables.items()
    ]


def is_better(compared: Sequence[SetComparison]) -> bool:
    """Better on at least one set, and on every other set at least not shown to be different."""
    verdicts = {comparison.verdict for comparison in compared}
    return "better" in verdicts and verdicts <= {"better", "no difference shown"}


def as_table(compared: Sequence[SetComparison]) -> pd.DataFrame:
    """The comparison for people: one line a test set, numbers as text."""
    return pd.DataFrame(
        {
            "set": c.dataset,
            "images": c.images,
            "candidate": f"{c.candidate:.2f}",
            "reference": f"{c.reference:.2f}",
            "difference (dB)": f"{c.difference:+.3f}",
            f"{100 * c.confidence:.3g} % interval": f"{c.low:+.3f} to {c.high:+.3f}",
            "verdict": c.verdict,
        }
        for c in compared
    )


def _compare(
    name: str,
    candidate: pd.DataFrame,
    reference: pd.DataFrame,
    confidence: float,
    reference_column: str,
) -> SetComparison:
    for column in ("protocol", "protocol_version"):
        ours, theirs = set(candidate[column]), set(reference[column])
        if ours != theirs:
            raise EvaluationError(
                f"{name}: {column} {_names(ours)} on one side and {_names(theirs)} on the other.",
                "Score both under one protocol.",
            )
    pairs = candidate[["id", "psnr"]].merge(
        reference[["id", reference_column]].set_axis(["id", "reference"], axis=1),
        on="id",
        validate="one_to_one",
    )
    if not len(pairs) == len(candidate) == len(reference):
        raise EvaluationError(
            f"{name}: {len(candidate)} and {len(reference)} images, {len(pairs)} in common.",
            "Score both on the same images.",
        )
    scores = pairs[["psnr", "reference"]].to_numpy(np.float64)
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
    """The BCa interval of the mean of ``differences``; a point where all are equal."""
    from scipy.stats import bootstrap

    if np.ptp(differences) == 0:
        return float(differences[0]), float(differences[0])
    found = bootstrap(
        (differences,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=max(1, 4_000_000 // len(differences)),
        confidence_level=confidence,
        method="BCa",
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return float(found.low), float(found.high)


def _verdict(images: int, low: float, high: float) -> Verdict:
    if images < FEWEST_IMAGES:
        return "too few images"
    if low > 0:
        return "better"
    return "worse" if high < 0 else "no difference shown"


def _names(values: set[Any]) -> str:
    return ", ".join(sorted(map(str, values)))
