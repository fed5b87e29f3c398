"""`score --explain`: known values, properties of the conventions, and the comparison."""

import json
import math

import numpy as np
import pytest
from evaluation_references import gaussian, matlab_y, psnr, ssim_valid, ssim_volume
from evaluation_stand_ins import pair
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from dgunet.evaluation.convention_scores import Measured, PairScores
from dgunet.evaluation.conventions import CONVENTIONS
from dgunet.evaluation.explanation import Expected, Explanation, explain_results
from dgunet.evaluation.explanation_text import as_json, as_lines
from dgunet.evaluation.protocols import PROTOCOLS, protocol
from dgunet.system.errors import ConfigError

LINES = [each for each in CONVENTIONS.values() if each.name != "realblur-aligned"]


def measured(restored, target):
    return PairScores(restored, target).measure(LINES)


def explained(*pairs):
    explanation = Explanation(tuple(LINES))
    for number, images in enumerate(pairs):
        explanation.add(str(number), measured(*images))
    return explanation


def by_name(explanation):
    return {each.convention.name: each for each in explanation.scores()}


def test_the_lines_of_the_protocols_are_the_protocols():
    noisy, target = pair(0)
    found = measured(noisy, target)
    for name, rules in PROTOCOLS.items():
        if rules.scores_locally and name in found and name not in ("sidd-blocks", "cs-y"):
            score = rules.score(noisy, target)
            assert (found[name].psnr, found[name].ssim) == (score.psnr, score.ssim)
    assert {name for name, each in PROTOCOLS.items() if each.scores_locally} == {
        each.protocol for each in CONVENTIONS.values() if each.protocol
    }


def test_lines_agree_with_slow_references():
    noisy, target = pair(0)
    found = measured(noisy, target)
    window = np.outer(gaussian(), gaussian())
    luma = [
        16 + image @ np.array([65.481, 128.553, 24.966]) / 255
        for image in (noisy.astype(float), target.astype(float))
    ]
    assert found["y-basicsr"].psnr == pytest.approx(psnr(*luma, 255), abs=1e-9)
    assert found["y-basicsr"].ssim == pytest.approx(ssim_valid(*luma, window, 255), abs=1e-9)
    inner = [image[4:-4, 4:-4] for image in luma]
    assert found["y-crop-4"].psnr == pytest.approx(psnr(*inner, 255), abs=1e-9)
    rounded = [matlab_y(image)[4:-4, 4:-4] for image in (noisy, target)]
    assert found["y-rounded-crop-4"].psnr == pytest.approx(psnr(*rounded, 255), abs=1e-9)
    channels = [psnr(noisy[..., c], target[..., c], 255) for c in range(3)]
    assert found["rgb-channels"].psnr == pytest.approx(np.mean(channels), abs=1e-9)
    assert found["gopro-rgb"].ssim == pytest.approx(ssim_volume(noisy, target, 255), abs=1e-9)


def test_floats_are_rounded_truncated_or_kept():
    target = np.full((24, 24, 3), 100, np.uint8)
    given_ = np.full((24, 24, 3), 103.7 / 255)
    found = measured(given_, target)
    errors = {"rgb-basicsr": 4.0, "rgb-truncated": 3.0, "rgb-basicsr-torch": 3.7}
    for name, error in errors.items():
        assert found[name].psnr == pytest.approx(20 * math.log10(255 / error), abs=1e-9), name
    bright = np.full((24, 24, 3), 1.1)
    white = np.full((24, 24, 3), 255, np.uint8)
    found = measured(bright, white)
    assert found["rgb-basicsr"].psnr == math.inf
    assert found["rgb-unclipped"].psnr == pytest.approx(20.0)


def test_lines_that_do_not_apply_say_why():
    noisy, target = pair(0)
    found = measured(noisy, target)
    assert found["rgb-truncated"] == "the results are 8-bit already: the same as rgb-basicsr"
    assert "colour floats" in measured(noisy / 255.0, target)["cs-y"]
    grey = measured(noisy[..., :1], target)
    assert grey["rgb-basicsr"] == "the results are grey and the targets are not"
    assert isinstance(grey["cs-y"], Measured) and isinstance(grey["y-full"], Measured)
    small = measured(noisy[:12, :12], target[:12, :12])
    assert "smaller than the 11x11" in small["y-crop-2"]
    assert "all border" in small["y-crop-8"]
    assert isinstance(small["rain-y"], Measured)


def test_one_image_that_a_line_cannot_score_leaves_the_line_out():
    explanation = explained(pair(0), pair(1, 12, 12))
    assert "rain-y" in by_name(explanation) and "y-crop-2" not in by_name(explanation)
    assert explanation.reasons()["y-crop-2"].startswith("1: ")


def test_the_mean_over_images_and_over_pixels():
    target = np.full((24, 24, 3), 100, np.uint8)
    larger = np.full((48, 24, 3), 100, np.uint8)
    found = by_name(explained((target + 2, target), (larger + 4, larger)))
    images = [20 * math.log10(255 / error) for error in (2, 4)]
    assert found["rgb-basicsr"].psnr == pytest.approx(sum(images) / 2)
    assert found["rgb-torchmetrics"].psnr == pytest.approx(10 * math.log10(255**2 / (36 / 3)))
    assert found["rgb-errors"].psnr == pytest.approx(10 * math.log10(255**2 / (20 / 2)))
    assert "rgb-errors" not in by_name(explained(pair(0)))


def test_identical_images_are_counted_and_named():
    noisy, target = pair(0)
    explanation = explained((target, target), (noisy, target))
    found = by_name(explanation)
    assert found["rgb-basicsr"].psnr == math.inf and found["rgb-basicsr"].identical == 1
    assert found["rgb-basicsr"].psnr_of_others == measured(noisy, target)["rgb-basicsr"].psnr
    assert math.isfinite(found["rgb-torchmetrics"].psnr)
    assert found["cs-y"].psnr == pytest.approx((100 + measured(noisy, target)["cs-y"].psnr) / 2)
    text = "\n".join(as_lines(explanation, [Expected("30.0", "PSNR")]))
    assert "1 of 2 images are identical" in text and "over the other 1" in text
    lines = json.loads(json.dumps(as_json(explanation, []), allow_nan=False))["conventions"]
    assert next(each for each in lines if each["name"] == "rgb-basicsr")["psnr"] is None
    everything = by_name(explained((target, target)))
    assert all(each.ssim == pytest.approx(1.0) for each in everything.values())


images = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).integers(0, 256, (24, 27, 3), np.uint8)
)


@settings(max_examples=15, deadline=None)
@given(images, images, st.permutations(range(3)))
def test_rgb_does_not_depend_on_the_order_of_channels_and_luma_does(one, other, order):
    assume((one != other).any())
    there, here = measured(one[..., order], other[..., order]), measured(one, other)
    for name in ("rgb-basicsr", "rgb-skimage", "rgb-channels", "rgb-torchmetrics-each"):
        assert there[name].psnr == pytest.approx(here[name].psnr, abs=1e-9)
        assert there[name].ssim == pytest.approx(here[name].ssim, abs=1e-9)
    if list(order) != [0, 1, 2]:
        assert there["y-basicsr"].psnr != here["y-basicsr"].psnr


@settings(max_examples=15, deadline=None)
@given(images, images, st.sampled_from([2, 3, 4]), images)
def test_a_crop_ignores_the_border(one, other, crop, frame):
    framed = frame.copy()
    framed[crop:-crop, crop:-crop] = one[crop:-crop, crop:-crop]
    name = f"y-crop-{crop}"
    assert measured(framed, other)[name] == measured(one, other)[name]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 254), st.integers(1, 254))
def test_constant_images_have_the_psnr_of_their_difference(level, step):
    target = np.full((24, 24, 3), level, np.uint8)
    other = np.full((24, 24, 3), min(level + step, 255), np.uint8)
    difference = int(other[0, 0, 0]) - level
    found = measured(other, target)
    exact = 20 * math.log10(255 / difference)
    for name in ("rgb-basicsr", "rgb-channels", "gopro-rgb", "y-full", "pyiqa-other"):
        assert found[name].psnr == pytest.approx(exact, abs=1e-9), name
    # The studio swing compresses 255 levels to 219.
    assert found["y-basicsr"].psnr == pytest.approx(exact + 20 * math.log10(255 / 219), abs=1e-6)


@settings(max_examples=15, deadline=None)
@given(images, images)
def test_scores_of_8_bit_images_do_not_depend_on_their_storage(one, other):
    stored, floats = measured(one, other), measured(one / 255.0, other)
    for name, score in stored.items():
        if isinstance(score, Measured) and isinstance(floats[name], Measured):
            assert floats[name].psnr == pytest.approx(score.psnr, abs=1e-4), name
            # Luma that is half a level, once in a thousand pixels, is rounded either way.
            slack = 1e-3 if name == "pyiqa" else 1e-4
            assert floats[name].ssim == pytest.approx(score.ssim, abs=slack), name


@pytest.mark.parametrize(
    ("text", "value", "meets"),
    [
        ("31.07", 31.0651, True),
        ("31.07", 31.0749, True),
        ("31.07", 31.075, True),
        ("31.07", 31.0649, False),
        ("31.1", 31.07, True),
        ("31", 31.4, True),
        ("31.070", 31.0712, False),
        ("31.07", math.inf, False),
    ],
)
def test_the_decimals_of_the_number_count(text, value, meets):
    assert Expected(text, "PSNR").meets(value) is meets


@pytest.mark.parametrize("text", ["", "31,07", "nan", "-3", "31.07 dB", "1e3"])
def test_text_that_is_no_number_is_refused(text):
    with pytest.raises(ConfigError, match="as it is printed"):
        Expected(text, "SSIM")


@pytest.fixture
def folders(tmp_path):
    for seed in (0, 1):
        for name, image in zip(("restored", "target"), pair(seed), strict=True):
            (tmp_path / name).mkdir(exist_ok=True)
            suffix = "_x2" if name == "restored" else ""
            Image.fromarray(image).save(tmp_path / name / f"{seed + 1}{suffix}.png")
    return tmp_path / "restored", tmp_path / "target"


def test_the_alignment_is_computed_only_on_request(folders):
    for name in (None, "realblur-aligned"):
        *_, (explanation, count) = explain_results(*folders, protocol=name)
        assert count == len(explanation.names) == 2
        assert ("realblur-aligned" in by_name(explanation)) is (name is not None)
        assert ("ask with" in explanation.reasons().get("realblur-aligned", "")) is (name is None)
        assert explanation.reasons()["dnd-server"] == "only its server has the targets"


def test_the_command_names_the_conventions_that_give_the_number(dgunet, folders):
    rows = [protocol("rain-y").score(*pair(seed)) for seed in (0, 1)]
    mean = sum(row.psnr for row in rows) / 2
    similarity = sum(row.ssim for row in rows) / 2
    options = ("--explain", "--expect", f"{mean:.4f}", "--expect-ssim", f"{similarity:.5f}")
    result = dgunet("score", *folders, *options, "--protocol", "rain-y")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("paired by name without the common beginning and end: 1_x2 -> 1")
    (line,) = [line for line in lines if "*rain-y:" in line]
    assert line.startswith("= ") and "+0.0000" in line and "=0." in line
    assert f"PSNR {mean:.4f} dB is reproduced by 1 of" in result.stdout
    assert lines[-1] == "both numbers together: rain-y"
    result = dgunet("score", *folders, "--explain", "--expect", "99.99")
    assert "reproduced by none" in result.stdout and "the nearest is" in result.stdout
    result = dgunet("score", *folders, "--explain", "--expect", f"{mean:.4f}", "--json")
    content = json.loads(result.stdout)
    assert content["expected"][0]["reproduced_by"] == ["rain-y"]
    assert content["images"] == ["1", "2"] and "paired by" in content["notes"][0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "Give --protocol NAME"),
        (("--protocol", "rain-y", "--expect", "3"), "Add --explain"),
        (("--explain", "--out", "x.csv"), "--json prints all"),
        (("--explain", "--expect", "x"), "as it is printed"),
        (("--explain", "--protocol", "none"), "unknown protocol"),
        (("--explain", "--protocol", "dnd-server"), "no local score"),
        (("--explain", "--range", "2"), "range '2' is unknown"),
    ],
)
def test_options_that_do_not_fit_are_refused(dgunet, folders, options, message):
    result = dgunet("score", *folders, *options)
    assert result.returncode == 1 and message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_every_line_is_described():
    words = [each.words for each in LINES]
    assert all(each.used_by for each in LINES)
    assert len(set(words)) >= len(words) - 1  # pyiqa and BasicSR read the same values
    twins = {each.twin for each in LINES if each.twin}
    assert twins <= set(CONVENTIONS)


@pytest.mark.benchmarks_data
def test_numbers_in_file_names_of_a_published_method_are_found(benchmarks, tmp_path):
    """ISTA-Net+ names its files after their own scores, 11 of Set11, computed before rounding."""
    folder = benchmarks / "metric_refs" / "ISTANet_Set11_ratio50"
    stated = []
    for path in sorted(folder.glob("*ISTA_Net_plus*.png")):
        (tmp_path / path.name).symlink_to(path)
        stated.append(float(path.stem.partition("SSIM_")[2]))
    lines = []
    *_, (explanation, count) = explain_results(tmp_path, benchmarks / "Set11", note=lines.append)
    assert count == len(stated) == 11
    assert "the target's name at the beginning" in lines[0]
    mean = sum(stated) / count
    nearest = min(explanation.scores(), key=lambda each: abs(each.ssim - mean))
    assert nearest.convention.name == "cs-y" and abs(nearest.ssim - mean) < 1e-3
