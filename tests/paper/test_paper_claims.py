"""The paper's claims as data, and their tests on evaluations with known effects."""

import copy
import json
import math
from pathlib import Path

import numpy as np
import pytest
from made_results import digest, made_rows, write_result

from benchmarks.claims import RESULT, family_rates, single_rates, training_rates
from benchmarks.claims_page import page
from dgunet.evaluation.results import read_result_and_rows
from dgunet.paper.claims import claim_list
from dgunet.paper.claims.claim_list import (
    Untestable,
    check_claims,
    claims,
    digests,
    parse,
    printed_effect,
    text,
)
from dgunet.paper.claims.effects import Result
from dgunet.paper.claims.testing import detectable, holm, p_value
from dgunet.paper.claims.verdicts import judge_claims
from dgunet.paper.intervals import mean_intervals
from dgunet.system.errors import ConfigError, DataError

BY_ID = {claim.id: claim for claim in claims()}


def items():
    return copy.deepcopy(parse(text()))


@pytest.fixture
def made(tmp_path):
    """A function that makes the result of an evaluation whose PSNR values are given."""

    def make(dataset, row, psnr, *, ratio=None, training=0, profile="paper", **more):
        folder = tmp_path / f"{dataset}-{row}-{ratio}-{training}-{profile}"
        rows = made_rows(dataset, len(psnr))
        for each, value in zip(rows, psnr, strict=True):
            object.__setattr__(each, "psnr", None if value is None else float(value))
        more |= {"psnr": None} if "identical" in more else {}
        more = {"checkpoint_sha256": digest(row, ratio, training)} | more
        write_result(folder, dataset, row, ratio, profile=profile, rows=rows, **more)
        summary, read = read_result_and_rows(folder)
        return Result.of(summary, read)

    return make


def spread(images, seed=0):
    """PSNR of images that differ much from each other, in dB."""
    return 30 + 4 * np.random.default_rng(seed).normal(size=images)


def noise(images, seed):
    """Differences of mean 0 with a standard deviation of 0.2 dB."""
    values = np.random.default_rng(seed).normal(size=images)
    return 0.2 * (values - values.mean()) / values.std()


def judged(name, results):
    (outcome,) = judge_claims([BY_ID[name]], results)
    return outcome


def test_there_are_twenty_claims_and_the_papers_sizes_follow_from_its_tables():
    tested = [claim for claim in claims() if not isinstance(claim, Untestable)]
    assert len(tested) >= 20
    stated = {"derain-plus-over-mprnet": 0.726, "without-isff-falls": 0.97, "scales-trend": 1.39}
    for name, size in stated.items():
        assert printed_effect(BY_ID[name]) == pytest.approx(size, abs=1e-9)
    assert printed_effect(BY_ID["stages-trend"]) == pytest.approx(0.9 * 0.59 + 0.3 * 0.19)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("stages-9-over-7", {"network": "stages-8"}, "no table has a cell for stages-8"),
        ("stages-9-over-7", {"sets": ["Rain200H"]}, "Rain200H"),
        ("cs-over-opinenet-set11", {"ratios": [1, 30]}, "at 30 %"),
        ("cs-over-opinenet-set11", {"method": "OPINE"}, "prints no PSNR"),
        ("derain-over-mprnet", {"size": 0.44}, "size: is 0.44, the printed tables say 0.336"),
        ("without-sp-falls", {"direction": "higher"}, "the printed tables say -0.140"),
        ("without-sp-falls", {"smallest_effect": 0.14}, "not below the claimed size"),
        ("without-sp-falls", {"size": "0.14"}, "0.14"),
        ("without-sp-falls", {"threshold": 1.0}, "threshold"),
        ("without-sp-falls", {"words": "nine words are one more than a quotation may"}, "words"),
        ("without-sp-falls", {"reference": "without-sp"}, "compared with itself"),
        ("stages-trend", {"levels": [3, 5, 7]}, "4 networks, 3 levels"),
        ("stages-trend", {"levels": [9, 7, 5, 3]}, "do not grow"),
        ("stages-9-over-7", {"id": "stages-7-over-5"}, "two claims have this id"),
    ],
)
def test_a_wrong_claim_is_refused_by_name(name, change, said):
    content = items()
    next(each for each in content if each["id"] == name).update(change)
    with pytest.raises(ConfigError) as refused:
        check_claims(content)
    assert said in str(refused.value)
    assert change.get("id", name) in str(refused.value)


def test_a_file_of_other_content_is_refused():
    assert parse("- [broken") == parse("claims: 1") == []
    for content in (["text"], [{"test": "guess"}], []):
        with pytest.raises(ConfigError, match=claim_list.NAME):
            check_claims(content)


def test_a_digest_is_of_all_that_a_claim_states_and_of_no_comment():
    content = items()
    before = digests(content)
    assert digests(parse("# another comment\n" + text())) == before
    content[0]["smallest_effect"] = 0.11
    changed = digests(content)
    assert [name for name in before if before[name] != changed[name]] == [content[0]["id"]]


@pytest.mark.parametrize("seed", range(3))
def test_the_p_value_is_at_most_5_percent_exactly_where_the_interval_leaves_out_the_margin(seed):
    draw = np.random.default_rng(seed)
    samples = [draw.exponential(size=12) - 1, draw.normal(size=30)]
    (low,), (high,) = mean_intervals([s[None] for s in samples], [1.0, 1.0], 0.95)
    for end, inside, outside in ((low, 1e-6, -1e-6), (high, -1e-6, 1e-6)):
        assert p_value(samples, end + inside)[0] > 0.05
        p, side = p_value(samples, end + outside)
        assert p <= 0.0502
        assert side == (1 if end == low else -1)
    assert p_value(samples, low - 100) == (0.0002, 1)


def test_the_p_value_of_many_normal_differences_is_that_of_students_test():
    from scipy.stats import ttest_1samp

    values = np.random.default_rng(3).normal(0.15, 1, 400)
    assert p_value([values], 0.0)[0] == pytest.approx(ttest_1samp(values, 0).pvalue, abs=0.01)


def test_holm_multiplies_by_the_number_of_hypotheses_left_and_keeps_the_order():
    # By hand: 4 x 0.005, 3 x 0.01, 2 x 0.03, and 0.04 not below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_detectable_effect_shrinks_with_the_images_and_grows_with_the_strictness():
    values = noise(400, 1)
    few, many = detectable([values[:40]], 0.05), detectable([values], 0.05)
    assert many < few
    assert many < detectable([values], 0.05 / 20)
    exact = 0.2 / math.sqrt(400) * (1.966 + 0.842)  # two-sided quantile, and that of 80 %
    assert exact < many < 1.1 * exact


@pytest.mark.parametrize(
    ("fall", "verdict"), [(0.55, "supported"), (0.02, "contradicted"), (0.12, "inconclusive")]
)
def test_a_fall_is_judged_against_the_smallest_that_matters(made, fall, verdict):
    full = spread(100)
    results = [
        made("Rain100H", "stages-7", full),
        made("Rain100H", "without-fgdm", full - fall + noise(100, 1)),
    ]
    outcome = judged("without-fgdm-falls", results)
    assert outcome.verdict == verdict
    assert outcome.effect == pytest.approx(fall)
    assert outcome.low < fall < outcome.high
    assert outcome.high - outcome.low < 0.1  # the images' spread of 4 dB cancels
    assert outcome.images == {"Rain100H": 100}
    assert [note.partition(":")[0] for note in outcome.notes] == [
        "one training of without-fgdm, stages-7"
    ]
    assert len(outcome.results) == 2


def test_a_network_that_gets_worse_contradicts_a_claim_of_growth(made):
    full = spread(100)
    results = [
        made("Rain100H", f"stages-{n}", full - 0.1 * n + noise(100, n)) for n in (3, 5, 7, 9)
    ]
    outcome = judged("stages-trend", results)
    assert outcome.verdict == "contradicted"
    assert outcome.effect == pytest.approx(-0.6)
    assert outcome.claimed == "above the interval"


def test_a_trend_is_supported_although_one_step_is_not(made):
    full = spread(100)
    values = {3: 0.0, 5: 0.4, 7: 0.4, 9: 0.8}
    results = [
        made("Rain100H", f"stages-{n}", full + up + noise(100, n)) for n, up in values.items()
    ]
    trend, step = judge_claims([BY_ID["stages-trend"], BY_ID["stages-7-over-5"]], results)
    assert (trend.verdict, step.verdict) == ("supported", "inconclusive")
    assert trend.effect == pytest.approx(0.9 * 0.8)


def test_a_printed_mean_is_compared_with_the_mean_of_all_images_without_pairs(made):
    images = spread(100)
    ours = images - images.mean() + 38.25
    outcome = judged("derain-plus-over-mprnet-rain100l", [made("Rain100L", "DGUNet+", ours)])
    assert outcome.effect == pytest.approx(1.85)
    assert outcome.high - outcome.low > 1.4  # that of the images
    assert any("counts as exact" in note for note in outcome.notes)
    part = made("Rain100L", "DGUNet+", ours[:50], training=1)
    outcome = judged("derain-plus-over-mprnet-rain100l", [part])
    assert outcome.verdict == "not testable here"
    assert "50 of 100 published images" in outcome.reason


def test_the_lead_at_1_percent_is_that_at_50_percent_subtracted(made):
    images = spread(11)
    low, high = images - images.mean() + 22.09, images - images.mean() + 41.22
    results = [
        made("Set11", "DGUNet", low, ratio=1),
        made("Set11", "DGUNet", high + noise(11, 1), ratio=50),
    ]
    assert judged("cs-margin-at-low-ratios", results).effect == pytest.approx(0.89)


def test_what_is_missing_is_named(made):
    rain = made("Rain100H", "stages-7", spread(100))
    assert judged("without-sp-falls", [rain]).reason == "no evaluation of without-sp on Rain100H"
    few = [made("Rain100H", row, spread(9), training=1) for row in ("stages-7", "without-sp")]
    assert "9 images here; fewer than 10" in judged("without-sp-falls", few).reason
    same = spread(100)
    same[3] = math.inf
    infinite = [rain, made("Rain100H", "without-sp", same, identical=1)]
    assert "1 images of infinite PSNR" in judged("without-sp-falls", infinite).reason
    assert "dgunet inspect" in judged("stages-approach-the-image", [rain]).reason
    assert judged("stages-approach-the-image", []).verdict == "not testable here"


def test_a_verdict_names_weights_that_a_test_set_selected_and_results_without_parity(made):
    full = spread(100)
    results = [
        made("Rain100H", "stages-7", full, selection="test-set Rain100L"),
        made("Rain100H", "without-fgdm", full - 1, parity=False),
    ]
    assert judged("without-fgdm-falls", results).notes[1:] == (
        "1 of 2 evaluations are without parity",
        "weights were selected on a test set",
    )


def test_two_trainings_that_differ_make_the_interval_wider(made):
    full, trainings = spread(100), (0.0, 0.3, 0.6)
    results = [
        made("Rain100H", row, full - fall + shift + noise(100, n), training=n)
        for row, fall in (("stages-7", 0.0), ("without-fgdm", 0.6))
        for n, shift in enumerate(trainings)
    ]
    outcome = judged("without-fgdm-falls", results)
    assert outcome.trainings == {"without-fgdm": 3, "stages-7": 3}
    assert outcome.effect == pytest.approx(0.6)
    alone = judged("without-fgdm-falls", [results[1], results[4]])
    assert outcome.high - outcome.low > 5 * (alone.high - alone.low)
    # t of 4 degrees of freedom, and two means of three trainings of standard deviation 0.3
    assert outcome.high - outcome.low >= 0.99 * 2 * 2.776 * 0.3 * math.sqrt(2 / 3)
    assert not any("not covered" in note for note in outcome.notes)


def test_results_that_cannot_be_compared_are_refused(made):
    first = made("Rain100H", "stages-7", spread(100))
    other = made("Rain100H", "without-sp", spread(100), data_digest=digest("other"))
    with pytest.raises(DataError, match="data_digest"):
        judge_claims(claims(), [first, other])
    sample = made("Rain100H", "without-sp", spread(2), profile="sample")
    with pytest.raises(DataError, match="several profiles"):
        judge_claims(claims(), [first, sample])
    fewer = made("Rain100H", "without-sp", spread(99))
    with pytest.raises(DataError, match="different images"):
        judge_claims(claims(), [first, fewer])
    again = made("Rain100H", "stages-7", spread(100, 1), training=1)
    object.__setattr__(again.summary, "checkpoint_sha256", first.summary.checkpoint_sha256)
    with pytest.raises(DataError, match="same weights"):
        judge_claims(claims(), [first, again])


def test_holms_correction_is_over_the_claims_that_were_tested(made):
    full = spread(100)
    rows = {"stages-7": 0.0, "without-fgdm": 0.155, "without-sp": 0.5, "without-isff": 0.5}
    results = [
        made("Rain100H", row, full - fall + noise(100, n))
        for n, (row, fall) in enumerate(rows.items())
    ]
    alone = judged("without-fgdm-falls", results)
    every = {each.claim.id: each for each in judge_claims(claims(), results)}
    tested = [each for each in every.values() if each.p is not None]
    assert len(tested) == 4
    assert alone.p == every["without-fgdm-falls"].p
    rank = sorted(each.p for each in tested).index(alone.p)
    assert every["without-fgdm-falls"].p_holm == pytest.approx((4 - rank) * alone.p)
    assert every["without-fgdm-falls"].detectable > alone.detectable


def test_few_false_claims_are_supported_and_most_true_ones():
    row = single_rates("exponential", 11, experiments=250)
    assert max(*row["alone"], *row["of_12"]) < 0.06
    assert max(row["none"]) < 0.02
    assert min(row["power"], row["power_of_12"]) > 0.8


def test_families_and_trainings_keep_their_level():
    assert family_rates(known=0, experiments=60)["false"] < 0.15
    row = training_rates(3, 100, experiments=250)
    assert row["both_levels"] < 0.05 < row["images_alone"]


def test_the_page_states_the_committed_simulation_and_the_claims():
    content = json.loads(RESULT.read_text(encoding="utf-8"))
    docs = Path(__file__).parents[2] / "docs"
    assert (docs / "claims.md").read_text(encoding="utf-8") == page(content)
    assert max(max(row["none"]) for row in content["single"]) <= 0.05
    assert all(row["false"] <= 0.05 for row in content["families"])
    assert all(row["both_levels"] <= 0.05 for row in content["trainings"])
