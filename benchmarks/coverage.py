"""Measure by simulation how often the intervals of a mean difference contain the true mean.

    python -m benchmarks.coverage                          # simulate, write the result (15 minutes)
    python -m benchmarks.coverage --page > docs/coverage.md

Every experiment draws the differences of two networks on a test set and computes the interval of
`dgunet models promote`. The rates of one set are measured; those of several independent sets of
the same size follow from them.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit
from scipy.stats import bootstrap

from dgunet.paper.intervals import RESAMPLES, mean_intervals
from dgunet.system.files import write_json

Samples = NDArray[np.float64]
Row = dict[str, Any]

RESULT = Path(__file__).parent / "results" / "coverage.json"
IMAGES = (10, 11, 20, 68, 100)
SETS = (1, 2, 5)
"""Numbers of sets among which 95 % are shared: one, compressive sensing's, Table 1's."""

EXPERIMENTS, BCA_EXPERIMENTS, BATCH = 4000, 1000, 250

DISTRIBUTIONS: dict[str, Callable[[np.random.Generator, tuple[int, int]], Samples]] = {
    "normal": lambda draw, shape: draw.normal(size=shape),
    "exponential": lambda draw, shape: draw.exponential(size=shape) - 1,
    "log-normal": lambda draw, shape: draw.lognormal(size=shape) - math.exp(0.5),
    "t(3)": lambda draw, shape: draw.standard_t(3, size=shape),
}
"""Differences with the true mean 0; those of the log-normal distribution have skewness 6.2."""


def differences(name: str, images: int, experiments: int) -> Samples:
    """The differences of a distribution, (experiments, images); the same in every call."""
    draw = np.random.default_rng([list(DISTRIBUTIONS).index(name), images])
    return DISTRIBUTIONS[name](draw, (experiments, images))


def rates(name: str, images: int, sets: int, experiments: int = EXPERIMENTS) -> Row:
    """The measured rates of one set when ``sets`` share the confidence of 95 %.

    Returns:
        The share of intervals that contain 0 (``covers``), lie above it (``above``) and below it
        (``below``), and the median width as a multiple of Student's t interval (``width``).
    """
    samples = differences(name, images, experiments)
    confidence = 1 - 0.05 / sets
    parts = np.array_split(samples, max(1, experiments // BATCH))
    found = [mean_intervals([part], [1.0], confidence) for part in parts]
    low, high = (np.concatenate(ends) for ends in zip(*found, strict=True))
    reach = stdtrit(images - 1, (1 + confidence) / 2)
    student = 2 * reach * samples.std(axis=1, ddof=1) / math.sqrt(images)
    return {
        "distribution": name,
        "images": images,
        "sets": sets,
        "covers": float(np.mean((low <= 0) & (high >= 0))),
        "above": float(np.mean(low > 0)),
        "below": float(np.mean(high < 0)),
        "width": float(np.median((high - low) / student)),
    }


def joint(row: Row) -> float:
    """The probability that all intervals of independent sets contain their means."""
    return float(row["covers"] ** row["sets"])


def false_promotion(row: Row, *, mirrored: bool = False) -> float:
    """The probability of "better" on a set and "worse" on none, without a true difference.

    Args:
        row: the rates of one set.
        mirrored: for the same differences with the opposite sign.
    """
    better, worse = (row["below"], row["above"]) if mirrored else (row["above"], row["below"])
    return float((1 - worse) ** row["sets"] - (1 - worse - better) ** row["sets"])


def bca_covers(name: str, images: int, experiments: int = BCA_EXPERIMENTS) -> float:
    """The share of 95 % BCa bootstrap intervals of one set that contain 0."""
    found = bootstrap(
        (differences(name, images, experiments),),
        np.mean,
        axis=1,
        n_resamples=1999,
        batch=max(1, 20_000 // images),
        method="BCa",
        rng=np.random.default_rng(1),
    ).confidence_interval
    return float(np.mean((found.low <= 0) & (found.high >= 0)))


def simulate() -> None:
    """Write the rates of every distribution, number of images and number of sets."""
    rows = []
    for name in DISTRIBUTIONS:
        for images in IMAGES:
            extra = {"bca_covers": bca_covers(name, images)}
            for sets in SETS:
                rows.append(rates(name, images, sets) | (extra if sets == 1 else {}))
            print(rows[-1], file=sys.stderr, flush=True)
    settings = {"experiments": EXPERIMENTS, "resamples": RESAMPLES, "bca": BCA_EXPERIMENTS}
    write_json(RESULT, {"benchmark": "coverage", "settings": settings, "rows": rows})


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *lines])


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def page(content: dict[str, Any]) -> str:
    """The page of docs about a result."""
    rows: dict[tuple[str, int, int], Row] = {
        (row["distribution"], row["images"], row["sets"]): row for row in content["rows"]
    }
    covered, promoted = [], []
    for name, images in product(DISTRIBUTIONS, IMAGES):
        each = [rows[name, images, sets] for sets in SETS]
        start, one = [name, str(images)], each[0]
        others = [_percent(one["bca_covers"]), f"{one['width']:.2f}"]
        covered.append([*start, *(_percent(joint(row)) for row in each), *others])
        promoted.append([*start, *map(_promotions, each)])
    sensing = [
        [name, _percent(rows[name, 11, 2]["covers"] * rows[name, 68, 2]["covers"])]
        for name in DISTRIBUTIONS
    ]
    head = ["Differences", "Images", *(f"{n} set{'s' if n > 1 else ''}" for n in SETS)]
    template = Path(__file__).with_name("coverage.md.txt").read_text(encoding="utf-8")
    return template.format(
        **content["settings"],
        covered=_table([*head, "BCa, 1 set", "Width"], covered),
        promoted=_table(head, promoted),
        sensing=_table(["Differences", "Set11 and BSD68"], sensing),
    )


def _promotions(row: Row) -> str:
    rates = false_promotion(row), false_promotion(row, mirrored=True)
    return " / ".join(map(_percent, rates))


def main() -> int:
    """Simulate, or print the page of the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--page", action="store_true", help="print docs/coverage.md")
    if parser.parse_args().page:
        print(page(json.loads(RESULT.read_text(encoding="utf-8"))), end="")
    else:
        simulate()
    return 0


if __name__ == "__main__":
    sys.exit(main())
