"""Comparison of two networks image by image, with a confidence interval."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.coverage import RESULT, false_promotion, joint, page, rates
from dgunet.paper.comparison import as_table, compare_sets, interval, is_better
from dgunet.paper.intervals import FEWEST_IMAGES
from dgunet.system.errors import EvaluationError
from dgunet.tools.model_promotion import COVERAGE


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
    half = 2.045 * d.std(ddof=1) / np.sqrt(len(d))  # Student's t with 29 degrees of freedom
    assert low == pytest.approx(d.mean() - half, abs=0.03)
    assert high == pytest.approx(d.mean() + half, abs=0.03)
    assert interval(d, 0.95) == (low, high), "the same tables give the same interval"


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


@pytest.mark.parametrize(
    ("gained", "verdict"),
    [
        (0.25, "better"),
        (-0.25, "worse"),
        (0.0, "no difference shown"),
        (1e-12, "no difference shown"),  # rounding of the logarithm
    ],
)
def test_a_constant_difference_has_a_single_point(base, gained, verdict):
    """30.1 - 30.0 and 25.1 - 25.0 differ in their last bits."""
    (compared,) = compare_sets({"a": (table(base + gained), table(base))})
    assert compared.verdict == verdict
    assert (compared.low, compared.high) == pytest.approx((gained, gained), abs=1e-9)
    (few,) = compare_sets({"a": (table(base[:9] + gained), table(base[:9]))})
    assert few.verdict == "too few images"
    (one,) = compare_sets({"a": (table(base[:1] + gained), table(base[:1]))})
    assert (one.low, one.high, one.verdict) == (-np.inf, np.inf, "too few images")


def test_equal_differences_but_one_show_nothing(base):
    """A third of the resamples lack the one image and have no spread."""
    changed = np.append(base[1:], base[0] + 0.2)
    (compared,) = compare_sets({"a": (table(changed), table(np.append(base[1:], base[0])))})
    assert compared.low < 0 < compared.high and compared.verdict == "no difference shown"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.iloc[:0], "a: the candidate's table has no images"),
        (lambda t: pd.DataFrame(), "a: the candidate's table has no column id"),
        (lambda t: t.drop(columns="psnr"), "the candidate's table has no column psnr"),
        (lambda t: pd.concat([t, t.iloc[[3]]]), "has the image '3.png' twice"),
        (lambda t: t.assign(id=range(len(t))), "ids are int in one table and str in the other"),
        (lambda t: t.assign(psnr=None), "has psnr None for the image '0.png'"),
        (lambda t: t.assign(psnr=-np.inf), "has psnr -inf for the image '0.png'"),
    ],
    ids=["empty", "nothing", "column", "twice", "numbers", "no score", "minus infinity"],
)
def test_damaged_tables_are_refused_with_the_value(base, change, message):
    with pytest.raises(EvaluationError, match=message):
        compare_sets({"a": (change(table(base)), table(base))})
    with pytest.raises(EvaluationError, match=r"^a: "):
        compare_sets({"a": (table(base), change(table(base)))})


def test_ids_are_paired_whatever_the_order_of_the_rows(base):
    (compared,) = compare_sets({"a": (table(base + 0.5).iloc[::-1], table(base))})
    assert (compared.low, compared.verdict) == (pytest.approx(0.5), "better")


# Images that are restored identically.


def test_images_identical_under_both_networks_differ_by_nothing(base):
    ours, theirs = (np.append(each, [np.inf, np.inf]) for each in (gain(base, 0.2, 0.1), base))
    (compared,) = compare_sets({"a": (table(ours), table(theirs))})
    mean = (ours[:-2] - theirs[:-2]).sum() / len(ours)
    assert compared.difference == pytest.approx(mean) and compared.verdict == "better"
    assert (compared.candidate, compared.identical, compared.baseline_identical) == (np.inf, 2, 2)
    assert list(as_table([compared])["identical images"]) == ["2 and 2"]


@pytest.mark.parametrize(
    ("ours", "theirs", "difference"),
    [
        ([np.inf], [40.0], np.inf),
        ([40.0], [np.inf], -np.inf),
        ([np.inf, 40.0], [40.0, np.inf], np.nan),
    ],
)
def test_an_infinite_difference_decides_nothing(base, ours, theirs, difference):
    better = gain(base, 0.3, 0.1)
    sets = {
        "a": (table(np.append(better, ours)), table(np.append(base, theirs))),
        "b": (table(better), table(base)),
    }
    compared = compare_sets(sets)
    assert [c.verdict for c in compared] == ["infinite difference", "better"]
    assert compared[0].difference == pytest.approx(difference, nan_ok=True)
    assert np.isnan([compared[0].low, compared[0].high]).all()
    assert not is_better(compared)
    shown = as_table(compared)
    assert shown.iloc[0, 5] == "none" and "identical images" in shown


# Coverage.


@pytest.mark.parametrize(
    ("name", "images", "least"),
    [("normal", 10, 0.94), ("t(3)", 10, 0.94), ("exponential", 11, 0.92)],
)
def test_intervals_of_few_images_contain_the_mean_as_often_as_stated(name, images, least):
    """BCa intervals of the same samples contain it in 87 to 89 % of the cases."""
    assert rates(name, images, sets=1, experiments=500)["covers"] > least


def test_the_stored_text_and_the_page_state_the_measured_coverage():
    content = json.loads(RESULT.read_text(encoding="utf-8"))
    least, most = [], []
    for names in (("normal", "t(3)"), ("exponential",), ("log-normal",)):
        rows = [row for row in content["rows"] if row["distribution"] in names]
        assert {row["images"] for row in rows} >= {FEWEST_IMAGES, 100}
        promoted = [false_promotion(row, mirrored=sign) for row in rows for sign in (False, True)]
        least.append(math.floor(100 * min(map(joint, rows))))
        most.append(math.ceil(1000 * max(promoted)) / 10)
    assert [int(n) for n in re.findall(r"(\d+) %", COVERAGE.partition(";")[0])] == least
    assert [float(n) for n in re.findall(r"(\d+\.\d) %", COVERAGE.partition("(")[0])] == most
    docs = Path(__file__).parents[2] / "docs"
    assert (docs / "coverage.md").read_text(encoding="utf-8") == page(content)
    assert COVERAGE in " ".join((docs / "mlflow.md").read_text(encoding="utf-8").split())
