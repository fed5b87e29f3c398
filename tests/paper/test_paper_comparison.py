"""Comparison of two networks image by image, with a confidence interval."""

import numpy as np
import pandas as pd
import pytest

from dgunet.paper.comparison import compare_sets, interval, is_better
from dgunet.paper.intervals import FEWEST_IMAGES
from dgunet.system.errors import EvaluationError


def table(psnr, ids=None, **columns):
    """A per-image table as an evaluation writes it."""
    ids = ids or [f"{n}.png" for n in range(len(psnr))]
    facts = {"protocol": "rain-y", "protocol_version": 1, "input_psnr": 20.0} | columns
    return pd.DataFrame({"id": ids, "psnr": psnr} | facts)


@pytest.fixture
def base():
    """PSNR of thirty images of very different difficulty."""
    return np.random.default_rng(1).normal(30, 4, 30)


def gain(base, mean, spread):
    """The same images restored by another network."""
    return base + np.random.default_rng(2).normal(mean, spread, len(base))


def test_pairing_finds_differences_smaller_than_the_image_spread(base):
    (compared,) = compare_sets({"Rain100H": (table(gain(base, 0.2, 0.1)), table(base))})
    assert (
        compared.verdict == "better"
        and 0.1 < compared.low < compared.difference < compared.high < 0.3
    )
    assert base.std() > 10 * compared.difference, (
        "the spread of the images exceeds the difference of the networks"
    )
    (back,) = compare_sets({"Rain100H": (table(base), table(gain(base, 0.2, 0.1)))})
    assert back.verdict == "worse" and back.low == pytest.approx(-compared.high, abs=0.01)


def test_the_interval_agrees_with_the_normal_approximation(base):
    d = gain(base, 0.0, 0.3) - base
    low, high = interval(d, 0.95)
    half = 1.96 * d.std(ddof=1) / np.sqrt(len(d))
    assert low == pytest.approx(d.mean() - half, abs=0.03)
    assert high == pytest.approx(d.mean() + half, abs=0.03)
    assert interval(d, 0.95) == (low, high), "the same tables give the same interval"
    assert interval(np.full(12, 0.25), 0.95) == (0.25, 0.25)


def test_more_test_sets_make_each_interval_wider(base):
    pair = (table(gain(base, 0.05, 0.2)), table(base))
    alone = compare_sets({"a": pair})[0]
    among = compare_sets(dict.fromkeys("abcde", pair))[0]
    assert (alone.confidence, among.confidence) == (0.95, pytest.approx(0.99))
    assert among.low < alone.low and among.high > alone.high


def test_better_means_better_on_one_test_set_and_worse_on_none(base):
    better = (table(gain(base, 0.3, 0.1)), table(base))
    equal = (table(base), table(base))
    few = (table(base[: FEWEST_IMAGES - 1] + 1), table(base[: FEWEST_IMAGES - 1]))

    def verdict(**sets):
        return is_better(compare_sets(sets))

    assert verdict(a=better, b=equal)
    assert not verdict(a=equal, b=equal)
    assert not verdict(a=better, b=better[::-1])
    assert not verdict(a=better, b=few), "a test set that is too small does not support the claim"


def test_the_degraded_images_can_be_the_baseline(base):
    (compared,) = compare_sets({"a": (table(base), table(base))}, baseline_column="input_psnr")
    assert compared.baseline == 20.0 and compared.verdict == "better"


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"ids": [f"other {n}" for n in range(30)]}, "0 in common"),
        ({"protocol": "rgb"}, "protocol is rain-y for one network and rgb"),
        ({"protocol_version": 2}, "protocol_version"),
    ],
)
def test_tables_that_cannot_be_compared_are_refused(base, other, message):
    with pytest.raises(EvaluationError, match=message):
        compare_sets({"a": (table(base), table(base, **other))})
    with pytest.raises(EvaluationError, match="no test set"):
        compare_sets({})


def test_infinite_scores_are_refused(base):
    with pytest.raises(EvaluationError, match="finite"):
        compare_sets({"a": (table(np.append(base, np.inf)), table(np.append(base, 40.0)))})
