"""Measure by simulation how often `dgunet claims` supports false claims, and finds true ones.

    python -m benchmarks.claims                        # simulate, write the result (3 CPU minutes)
    python -m benchmarks.claims --page > docs/claims.md

The differences of two networks on a test set are those of `benchmarks.coverage`, whose true mean is
known. The test, Holm's correction and the detectable effect are the functions of `dgunet claims`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.coverage import DISTRIBUTIONS, Samples, differences
from dgunet.paper.claims.testing import ALPHA, detectable, holm, sides
from dgunet.system.files import write_json

Row = dict[str, Any]

RESULT = Path(__file__).parent / "results" / "claims.json"
IMAGES = (11, 68, 100)
"""Images of Set11, BSD68 and Rain100H."""

EXPERIMENTS, BATCH, PROMISES = 1000, 250, 50
KINDS = list(product(DISTRIBUTIONS, IMAGES))
"""The claims of one simulated family."""

TRAININGS = (2, 3, 5)
SPREAD_OF_TRAININGS, SPREAD_OF_BOTH = 0.3, 0.3
"""Standard deviations of a training's mean, and of what it has in common with one image only, as
multiples of that of the images."""


def found(samples: Sequence[Samples], margins: Samples, level: float) -> Samples:
    """The sides of `sides`, computed in batches."""
    parts = range(0, len(margins), BATCH)
    return np.concatenate(
        [sides([s[p : p + BATCH] for s in samples], margins[p : p + BATCH], level) for p in parts]
    )


def single_rates(name: str, images: int, experiments: int = EXPERIMENTS) -> Row:
    """The verdicts on one false claim, and on one that is true, alone and as one of 12.

    Returns:
        Shares of "supported". ``alone``, ``of_12``: the effect is exactly the smallest that
        matters. ``none``: there is no effect, and the smallest that matters is a third of the
        standard deviation of the images. Each is a pair; the second is for differences of the
        opposite sign. ``power``, ``power_of_12``: the effect is as large as promised to be found.
    """
    samples = differences(name, images, experiments)
    zero = np.zeros(experiments)
    spread = float(samples.std())
    row: Row = {"distribution": name, "images": images}
    for name_of, power, level in (
        ("alone", "power", ALPHA),
        ("of_12", "power_of_12", ALPHA / len(KINDS)),
    ):
        row[name_of] = _both_signs(samples, zero, zero, level)
        row[power] = float(np.mean(found([samples], zero - promise(samples, level), level) > 0))
    row["none"] = _both_signs(samples, zero + spread / 3, zero - spread / 3, ALPHA)
    return row


def _both_signs(samples: Samples, margins: Samples, opposite: Samples, level: float) -> list[float]:
    """The shares above the margins, and below the opposite ones."""
    above = found([samples], margins, level) > 0
    below = found([samples], opposite, level) < 0
    return [float(above.mean()), float(below.mean())]


def promise(samples: Samples, level: float) -> float:
    """The median of the effects that the first sets are said to show with a probability of 80 %."""
    return float(np.median([detectable([each], level) for each in samples[:PROMISES]]))


def family_rates(*, known: int, experiments: int = EXPERIMENTS) -> Row:
    """The verdicts on families of 12 claims after Holm's correction.

    Args:
        known: number of true claims, with effects that 12 claims are promised to show; the
            effects of the others are exactly the smallest that matters.
        experiments: number of families.

    Returns:
        The share of families with a false "supported" (``false``), and of true claims that are
        supported (``power``; None without any).
    """
    p_values = np.ones((len(KINDS), experiments))
    up = np.zeros((len(KINDS), experiments), dtype=bool)
    levels = [ALPHA / count for count in range(len(KINDS), max(0, len(KINDS) - known - 3), -1)]
    for index, (name, images) in enumerate(KINDS):
        sign = 1 - 2 * (index % 2)
        samples = sign * differences(name, images, experiments)
        effect = promise(samples, levels[0]) if _is_known(index, known) else 0.0
        for level in reversed(levels):  # the smallest that rejects remains
            found_sides = found([samples], np.full(experiments, -effect), level)
            p_values[index][found_sides != 0] = level
            up[index] = np.where(found_sides != 0, found_sides > 0, up[index])
    corrected = np.array([holm(list(column)) for column in p_values.T]).T
    supported = (corrected <= ALPHA * (1 + 1e-9)) & up
    true = np.array([_is_known(index, known) for index in range(len(KINDS))])
    return {
        "known": known,
        "claims": len(KINDS),
        "false": float(np.mean(supported[~true].any(axis=0))),
        "power": float(np.mean(supported[true])) if known else None,
    }


def _is_known(index: int, known: int) -> bool:
    """Every second pair of claims is true, so that both signs are among the true ones."""
    return index // 2 % 2 == 0 and known > 0


def training_rates(trainings: int, images: int, experiments: int = EXPERIMENTS) -> Row:
    """The verdicts on a false claim about two networks with several trainings each.

    Returns:
        Shares of "supported" with the variation between trainings (``both_levels``), and with that
        of the images alone (``images_alone``).
    """
    draw = np.random.default_rng([trainings, images])
    shape = (experiments, trainings, images)
    networks = [
        SPREAD_OF_TRAININGS * draw.normal(size=(experiments, trainings, 1))
        + SPREAD_OF_BOTH * draw.normal(size=shape)
        for _ in range(2)
    ]
    common = draw.normal(size=(experiments, images))
    per_image = common + networks[0].mean(axis=1) - networks[1].mean(axis=1)
    means = [network.mean(axis=2) for network in networks]
    trained = [mean - mean.mean(axis=1, keepdims=True) for mean in means]
    zero = np.zeros(experiments)
    return {
        "trainings": trainings,
        "images": images,
        "both_levels": float(np.mean(found([per_image, *trained], zero, ALPHA) > 0)),
        "images_alone": float(np.mean(found([per_image], zero, ALPHA) > 0)),
    }


def simulate(say: Callable[[Row], None] = lambda row: None) -> dict[str, Any]:
    """All rates."""
    content: dict[str, Any] = {"benchmark": "claims", "settings": {"experiments": EXPERIMENTS}}
    content["single"], content["families"], content["trainings"] = [], [], []
    for kind in KINDS:
        content["single"].append(single_rates(*kind))
        say(content["single"][-1])
    for known in (0, 6):
        content["families"].append(family_rates(known=known))
        say(content["families"][-1])
    for trainings, images in product(TRAININGS, IMAGES):
        content["trainings"].append(training_rates(trainings, images))
        say(content["trainings"][-1])
    return content


def main() -> int:
    """Simulate, or print the page of the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--page", action="store_true", help="print docs/claims.md")
    if parser.parse_args().page:
        from benchmarks.claims_page import page

        print(page(json.loads(RESULT.read_text(encoding="utf-8"))), end="")
    else:
        content = simulate(lambda row: print(row, file=sys.stderr, flush=True))
        write_json(RESULT, content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
