"""Comparison of a network with a baseline on a test set: paired by image, with an interval.

Both networks restore the same images. The difference in PSNR is taken per image and then averaged,
so the difficulty of an image cancels. `dgunet.paper.intervals` gives the interval of the mean
difference.

An image that a network restores identically may have an infinite PSNR. Where both have one, the
difference is 0: both restored the same image. Where one has, the mean difference is infinite, no
interval describes it, and the set decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dgunet.paper.intervals import FEWEST_IMAGES, mean_intervals
from dgunet.system.errors import EvaluationError
from dgunet.system.reading import shorten

Verdict = Literal["better", "worse", "no difference shown", "too few images", "infinite difference"]

_ROUNDED = 9
"""Decimals of a difference in dB; what is smaller is rounding of the logarithm."""


@dataclass(frozen=True)
class SetComparison:
    """The comparison of a network with a baseline on one test set.

    Attributes:
        dataset: the test set.
        images: number of images compared.
        candidate, baseline: mean PSNR in dB over these images; ``inf`` with an infinite one.
        difference: mean of candidate minus baseline, in dB; NaN where infinite differences have
            both signs.
        low, high: ends of the interval of this mean, in dB; the difference itself where it is the
            same for every image, NaN for an infinite difference.
        confidence: nominal confidence of the interval, in (0, 1).
        verdict: what the interval shows.
        identical: number of images that the candidate restored identically (infinite PSNR).
        baseline_identical: the same of the baseline.
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
    identical: int = 0
    baseline_identical: int = 0


def compare_sets(
    tables: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]],
    *,
    confidence: float = 0.95,
    baseline_column: str = "psnr",
) -> list[SetComparison]:
    """Compare a network with a baseline on several test sets.

    The nominal confidence is of all intervals together: each has ``1 - (1 - confidence) / sets``
    (Bonferroni), so that a false "better" does not become more likely with the number of sets.
    docs/coverage.md has the measured confidence, which is lower for few images of skewed scores.

    Args:
        tables: per-image tables of candidate and baseline by test set; columns ``id``, ``psnr``,
            ``protocol`` and ``protocol_version``.
        confidence: nominal joint confidence that all intervals contain their true means.
        baseline_column: column of the baseline's scores; ``input_psnr`` compares with the degraded
            images themselves.

    Raises:
        EvaluationError: if there is no test set; if a table has no images, lacks a column or a
            score, or names an image twice; if the two tables of a set differ in images, in the type
            of their ids, or in protocol.
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
    lines = pd.DataFrame(
        {
            "set": c.dataset,
            "images": c.images,
            "candidate": f"{c.candidate:.2f}",
            "reference": f"{c.baseline:.2f}",
            "difference (dB)": f"{c.difference:+.3f}",
            f"{100 * c.confidence:.3g} % interval": _ends(c),
            "verdict": c.verdict,
            "identical images": f"{c.identical} and {c.baseline_identical}",
        }
        for c in compared
    )
    some = any(c.identical or c.baseline_identical for c in compared)
    return lines if some else lines.drop(columns="identical images")


def _ends(compared: SetComparison) -> str:
    if np.isnan([compared.low, compared.high]).any():
        return "none"
    return f"{compared.low:+.3f} to {compared.high:+.3f}"


def _compare(
    name: str,
    candidate: pd.DataFrame,
    baseline: pd.DataFrame,
    confidence: float,
    baseline_column: str,
) -> SetComparison:
    _check_table(name, "candidate", candidate, "psnr")
    _check_table(name, "baseline", baseline, baseline_column)
    ours, theirs = _paired(name, candidate, baseline, baseline_column)
    identical, baseline_identical = np.isinf(ours), np.isinf(theirs)
    both = identical & baseline_identical
    differences = np.zeros_like(ours)
    differences[~both] = np.round(ours[~both] - theirs[~both], _ROUNDED)
    finite = bool(np.isfinite(differences).all())
    low, high = interval(differences, confidence) if finite else (np.nan, np.nan)
    with np.errstate(invalid="ignore"):  # infinite differences of both signs
        difference = float(differences.mean())
    return SetComparison(
        name,
        len(ours),
        float(ours.mean()),
        float(theirs.mean()),
        difference,
        low,
        high,
        confidence,
        _verdict(len(ours), low, high) if finite else "infinite difference",
        int(identical.sum()),
        int(baseline_identical.sum()),
    )


def _check_table(name: str, whose: str, table: pd.DataFrame, score: str) -> None:
    """Refuse a table that is no table of scored images."""
    said = f"{name}: the {whose}'s table"
    needed = ("id", score, "protocol", "protocol_version")
    if missing := [column for column in needed if column not in table]:
        raise EvaluationError(f"{said} has no column {missing[0]}.", "Evaluate that set again.")
    if table.empty:
        raise EvaluationError(f"{said} has no images.", "Evaluate that set again.")
    if (repeated := table["id"].duplicated()).any():
        first = shorten(table["id"][repeated].iloc[0])
        raise EvaluationError(
            f"{said} has the image {first} twice.", "Leave one row for each image."
        )
    scores = pd.to_numeric(table[score], errors="coerce")
    if (unknown := scores.isna() | (scores == -np.inf)).any():
        line = table[unknown].iloc[0]
        raise EvaluationError(
            f"{said} has {score} {line[score]} for the image {shorten(line['id'])}.",
            "Score every image under a protocol that has local scores.",
        )


def _paired(
    name: str, candidate: pd.DataFrame, baseline: pd.DataFrame, column: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The scores of candidate and baseline, image by image."""
    for facts in ("protocol", "protocol_version"):
        ours, theirs = set(candidate[facts]), set(baseline[facts])
        if ours != theirs:
            raise EvaluationError(
                f"{name}: {facts} is {_names(ours)} for one network and {_names(theirs)} for the "
                "other.",
                "Score both under the same protocol.",
            )
    kinds = [sorted({type(each).__name__ for each in t["id"]}) for t in (candidate, baseline)]
    if kinds[0] != kinds[1]:
        raise EvaluationError(
            f"{name}: ids are {', '.join(kinds[0])} in one table and {', '.join(kinds[1])} in the "
            f"other, such as {candidate['id'].iloc[0]!r} and {baseline['id'].iloc[0]!r}.",
            "Read both with ids as text (in pandas dtype={'id': str}).",
        )
    others = baseline.set_index("id")[column]
    common = candidate["id"].isin(others.index)
    if not int(common.sum()) == len(candidate) == len(baseline):
        raise EvaluationError(
            f"{name}: {len(candidate)} and {len(baseline)} images, {common.sum()} in common.",
            "Score both on the same images.",
        )
    paired = others.loc[candidate["id"]]
    return candidate["psnr"].to_numpy(np.float64), paired.to_numpy(np.float64)


def interval(differences: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    """The interval of the mean of ``differences`` (images,).

    A single point if all are equal: the images then give no other mean, however they are drawn. One
    image has no interval but the whole line.
    """
    if len(differences) < 2:
        return -np.inf, np.inf
    (low,), (high,) = mean_intervals([differences[None]], [1.0], confidence)
    return float(low), float(high)


def _verdict(images: int, low: float, high: float) -> Verdict:
    if images < FEWEST_IMAGES:
        return "too few images"
    if low > 0:
        return "better"
    return "worse" if high < 0 else "no difference shown"


def _names(values: set[Any]) -> str:
    return ", ".join(sorted(map(str, values)))
