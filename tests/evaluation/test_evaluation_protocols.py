"""Every protocol against slow references, scikit-image where applicable, and its description."""

import dataclasses
import itertools

import evaluation_references as slow
import numpy as np
import pytest
from evaluation_stand_ins import pair
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from dgunet.evaluation import ssim as fast
from dgunet.evaluation.metric_protocol import Score
from dgunet.evaluation.protocols import PROTOCOLS, protocol, round_to_uint8
from dgunet.imaging.colour import matlab_luma, opencv_luma
from dgunet.system.errors import ConfigError, EvaluationError

LOCAL = [name for name, each in PROTOCOLS.items() if each.scores_locally]
RGB8 = ["rain-y", "gopro-rgb"]
CLOSE = {"rel": 0, "abs": 1e-9}


def scored_pair(name, seed=0, **size):
    """A restored image quantised for the protocol, and its target."""
    noisy, target = pair(seed, channels=1 if name == "cs-y" else 3, **size)
    rng = np.random.default_rng(seed)
    return protocol(name).quantise(noisy / 255.0 + rng.uniform(-2e-3, 2e-3, noisy.shape)), target


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", ["rain-y", "gopro-rgb", "sidd-blocks", "cs-y"])
def test_scores_agree_with_the_slow_reference(name, seed):
    x, y = scored_pair(name, seed, height=13, width=17)
    score = protocol(name).score(x, y)
    assert (score.psnr, score.ssim) == pytest.approx(slow.protocol_scores(name, x, y), **CLOSE)


def test_realblur_agrees_with_the_slow_reference():
    _, target = pair(5, height=48, width=56)
    rng = np.random.default_rng(0)
    target = np.clip(target + rng.integers(-25, 26, target.shape), 0, 255).astype(np.uint8)
    moved = round_to_uint8(np.roll(target, (1, 2), (0, 1)) / np.float32(255) * np.float32(0.9))
    score = protocol("realblur-aligned").score(moved, target)
    expected = slow.protocol_scores("realblur-aligned", moved, target)
    assert (score.psnr, score.ssim) == pytest.approx(expected, rel=0, abs=1e-6)
    assert slow.aligned(moved, target)[2].min() == 0  # the mask excludes some pixels


@pytest.mark.parametrize("size", [(11, 11), (97, 107), (120, 600), (300, 40)])
def test_rain_y_agrees_with_scikit_image_across_block_borders(size):
    x, y = scored_pair("rain-y", height=size[0], width=size[1])
    first, second = matlab_luma(x), matlab_luma(y)
    score = protocol("rain-y").score(x, y)
    expected = structural_similarity(
        first,
        second,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
    )
    assert score.ssim == pytest.approx(expected, **CLOSE)
    assert score.psnr == pytest.approx(
        peak_signal_noise_ratio(second, first, data_range=255), **CLOSE
    )


@pytest.mark.parametrize("size", [(7, 9), (97, 107), (200, 530)])
def test_cs_y_agrees_with_scikit_image_across_block_borders(size):
    x, y = scored_pair("cs-y", height=size[0], width=size[1])
    score = protocol("cs-y").score(x, y)
    expected = structural_similarity(x[..., 0], y[..., 0].astype(float), data_range=255)
    assert score.ssim == pytest.approx(expected, **CLOSE)


@pytest.mark.parametrize("border", ["valid", "replicate", "reflect"])
@pytest.mark.parametrize("volume", [False, True])
def test_the_block_size_does_not_change_the_value(border, volume, monkeypatch):
    noisy, target = pair(3, height=70, width=90)
    definition = fast.SsimDefinition("gaussian", 11, border, volume, False, 255.0)
    whole = fast.ssim(noisy, target, definition)
    monkeypatch.setattr(fast, "_BLOCK_ROWS", 13)
    monkeypatch.setattr(fast, "_BLOCK_COLUMNS", 17)
    assert fast.ssim(noisy, target, definition) == pytest.approx(whole, rel=0, abs=1e-13)


def test_the_masked_map_reflects_like_scikit_image():
    noisy, target = pair(4, height=40, width=50)
    x, y = noisy / 255.0, target / 255.0
    _, expected = structural_similarity(
        x,
        y,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1.0,
        full=True,
    )
    definition = fast.SsimDefinition("gaussian", 11, "reflect", False, False, 1.0)
    np.testing.assert_allclose(fast.ssim_map(x, y, definition), expected, rtol=0, atol=1e-12)


def test_matlab_luma_is_exact_for_every_colour():
    green, blue = np.meshgrid(np.arange(256), np.arange(256), indexing="ij")
    for red in range(0, 256, 5):
        colours = np.stack([np.full_like(green, red), green, blue], -1).astype(np.uint8)
        parts = 65481 * red + 128553 * green + 24966 * blue + 16 * 255000
        assert np.array_equal(matlab_luma(colours), (parts + 127500) // 255000)


def test_matlab_luma_rounds_an_exact_half_up():
    halves = [
        rgb
        for rgb in itertools.product(range(0, 256, 3), range(0, 256, 3), range(256))
        if (65481 * rgb[0] + 128553 * rgb[1] + 24966 * rgb[2]) % 255000 == 127500
    ]
    assert halves
    image = np.array([halves], np.uint8)
    assert np.array_equal(matlab_luma(image), slow.matlab_y(image))


def test_opencv_luma_keeps_grey_and_is_full_range():
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    assert np.array_equal(opencv_luma(grey), grey)
    assert np.array_equal(opencv_luma(np.repeat(grey, 3, 2)), grey)


def test_rounding_is_half_to_even_and_survives_a_round_trip():
    assert round_to_uint8(np.array([0.5, 1.5, 2.5, -3.0, 300.0]) / 255).tolist() == [
        0,
        2,
        2,
        0,
        255,
    ]
    levels = np.arange(256, dtype=np.uint8)
    assert np.array_equal(round_to_uint8(levels / np.float32(255)), levels)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 999), name=st.sampled_from(["rain-y", "gopro-rgb", "cs-y"]))
def test_scores_are_symmetric_and_invariant_to_flips(seed, name):
    x, y = scored_pair(name, seed, height=16, width=19)
    x = np.rint(x).astype(np.uint8)
    as_scored = np.float64 if name == "cs-y" else np.uint8
    score = protocol(name).score(x.astype(as_scored), y)
    swapped = protocol(name).score(y.astype(as_scored), x)
    flipped = protocol(name).score(x[::-1, ::-1].astype(as_scored), y[::-1, ::-1])
    for other in (swapped, flipped):
        assert (other.psnr, other.ssim) == pytest.approx((score.psnr, score.ssim), abs=1e-10)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rain-y", np.inf),
        ("gopro-rgb", np.inf),
        ("realblur-aligned", np.inf),
        ("sidd-blocks", np.inf),
        ("cs-y", 100.0),
    ],
)
def test_identical_images_score_as_in_the_original_code(name, expected):
    _, target = pair(0, height=64, width=64, channels=1 if name == "cs-y" else 3)
    same = protocol(name).quantise(target / np.float32(255))
    if name == "cs-y":
        same = target.astype(np.float64)
    score = protocol(name).score(same, target)
    assert score == Score(expected, pytest.approx(1.0, abs=1e-12))


@pytest.mark.parametrize("name", RGB8)
@pytest.mark.parametrize(
    "damage",
    [
        lambda x: x.astype(np.float32) / 255,
        lambda x: x.astype(np.uint16) * 257,
        lambda x: np.concatenate([x, x[..., :1]], -1),
        lambda x: x[..., :1],
        lambda x: x[..., 0],
        lambda x: x[:, :-1],
        lambda x: x[:0],
    ],
    ids=["float", "16 bit", "alpha", "grey", "no axis", "size", "empty"],
)
def test_only_8_bit_colour_pairs_of_one_size_are_accepted(name, damage):
    x, y = scored_pair(name)
    with pytest.raises(EvaluationError, match="image"):
        protocol(name).score(damage(x), y)
    with pytest.raises(EvaluationError, match="image"):
        protocol(name).score(x, damage(y))


@pytest.mark.parametrize("name", ["sidd-blocks", "cs-y"])
def test_nan_and_values_outside_the_range_are_refused(name):
    x, y = scored_pair(name)
    for bad in (np.nan, np.inf, 256.0, -0.5):
        broken = x.copy()
        broken[3, 3] = bad
        with pytest.raises(EvaluationError, match=r"NaN or infinite|spans"):
            protocol(name).score(broken, y)


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_non_finite_network_output_is_not_quantised(name):
    with pytest.raises(EvaluationError, match="1 NaN or infinite values of 12"):
        protocol(name).quantise(np.array([0.5] * 11 + [np.nan]).reshape(2, 2, 3))
    with pytest.raises(EvaluationError, match="floating-point"):
        protocol(name).quantise(np.zeros((2, 2, 3), np.uint8))


@pytest.mark.parametrize("name", ["rain-y", "gopro-rgb", "cs-y"])
def test_images_smaller_than_the_window_are_refused(name):
    x, y = scored_pair(name, height=6, width=40)
    with pytest.raises(EvaluationError, match="smaller than the"):
        protocol(name).score(x, y)


def test_realblur_alignment_compensates_gain_and_shift():
    _, target = pair(5, height=96, width=128)
    rng = np.random.default_rng(0)
    target = np.clip(target + rng.integers(-25, 26, target.shape), 0, 255).astype(np.uint8)
    shifted = np.roll(target, (1, 2), (0, 1))
    moved = round_to_uint8(shifted / np.float32(255) * np.float32(0.9))
    aligned = protocol("realblur-aligned").score(moved, target)
    assert aligned.psnr > protocol("gopro-rgb").score(moved, target).psnr + 10


def test_realblur_refuses_images_that_cannot_be_aligned():
    _, target = pair(5, height=64, width=64)
    with pytest.raises(EvaluationError, match="black"):
        protocol("realblur-aligned").score(np.zeros_like(target), target)


def test_the_server_protocol_has_no_local_score():
    with pytest.raises(EvaluationError, match="dgunet dnd bundle"):
        protocol("dnd-server").score(np.zeros((16, 16, 3)), np.zeros((16, 16, 3)))


def test_an_unknown_protocol_is_reported_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"'psnr'.*rain-y"):
        protocol("psnr")


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_a_protocol_is_fully_described_and_immutable(name):
    each = protocol(name)
    facts = each.describe()
    assert not [key for key, value in facts.items() if value == ""]
    assert facts["version"] >= 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        each.version = 9
    assert dataclasses.replace(each, colour="other").digest != each.digest
