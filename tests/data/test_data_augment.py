"""Augmentation: the pixels of every code, its frequency, and equal input and target."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from dgunet.data.batches.augment import (
    AUGMENTATIONS,
    dihedral,
    draw_saturation,
    four_symmetries,
    reflect,
    saturate,
)
from dgunet.data.batches.training_batches import TrainingBatches
from dgunet.data.store.pair_store import PairStore
from dgunet.data.store.preparation_recipes import RECIPES

DRAWS = 36_000


def test_the_nine_augmentation_codes():
    image = np.arange(6).reshape(2, 3, 1)
    expected = {
        0: [[0, 1, 2], [3, 4, 5]],
        1: [[3, 4, 5], [0, 1, 2]],
        2: [[2, 1, 0], [5, 4, 3]],
        3: [[2, 5], [1, 4], [0, 3]],
        4: [[5, 4, 3], [2, 1, 0]],
        5: [[3, 0], [4, 1], [5, 2]],
        6: [[5, 2], [4, 1], [3, 0]],
        7: [[0, 3], [1, 4], [2, 5]],
        8: [[0, 1, 2], [3, 4, 5]],
    }
    for code, rows in expected.items():
        np.testing.assert_array_equal(dihedral(image, code)[..., 0], rows)
    for code in (-1, 9):
        with pytest.raises(ValueError, match="allowed: 0 to 8"):
            dihedral(image, code)


def test_the_nine_codes_are_those_of_the_released_code(benchmarks):
    recorded = json.loads((benchmarks / "../reference/golden/augment.json").read_text())
    image = np.array(recorded["train_aug_input"])[..., None]
    for code, rows in recorded["train_aug_by_code_0_to_8"].items():
        np.testing.assert_array_equal(dihedral(image, int(code))[..., 0], rows)


@pytest.fixture
def square():
    return np.random.default_rng(0).integers(0, 256, (6, 6, 3), np.uint8)


def shares(augmentation, image):
    """The relative frequency of each result, by its bytes."""
    generator = np.random.default_rng(1)
    results = (augmentation(None, image, generator)[1] for _ in range(DRAWS))
    counts = Counter(np.ascontiguousarray(result).tobytes() for result in results)
    return {result: count / DRAWS for result, count in counts.items()}


def test_the_identity_is_twice_as_likely_as_each_other_symmetry(square):
    found = shares(AUGMENTATIONS["derain"], square)
    assert len(found) == 8
    assert found.pop(square.tobytes()) == pytest.approx(2 / 9, abs=0.01)
    assert list(found.values()) == pytest.approx([1 / 9] * 7, abs=0.01)


def test_compressive_sensing_uses_four_of_the_eight_symmetries(square):
    grey = square[..., :1]
    found = shares(four_symmetries, grey)
    assert found == pytest.approx(dict.fromkeys(found, 1 / 4), abs=0.01)
    expected = [grey, grey[::-1], grey.swapaxes(0, 1), grey[::-1].swapaxes(0, 1)]
    assert set(found) == {np.ascontiguousarray(image).tobytes() for image in expected}
    assert np.ascontiguousarray(grey[:, ::-1]).tobytes() not in found, (
        "the released code never flips horizontally alone"
    )
    for code, image in enumerate(expected):
        np.testing.assert_array_equal(reflect(grey, code), image)
    for code in (-1, 4):
        with pytest.raises(ValueError, match="allowed: 0 to 3"):
            reflect(grey, code)


def test_saturation_changes_in_a_third_of_the_draws_uniformly_in_its_range():
    generator = np.random.default_rng(2)
    factors = np.array([draw_saturation(generator) for _ in range(DRAWS)])
    moved = factors[factors != 1]
    assert len(moved) / DRAWS == pytest.approx(1 / 3, abs=0.01)
    assert moved.min() > 0.8
    assert moved.max() <= 1.2
    counts, _ = np.histogram(moved, bins=8, range=(0.8, 1.2))
    assert counts / len(moved) == pytest.approx([1 / 8] * 8, abs=0.012)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.floats(0.8, 1.2))
def test_saturation_interpolates_with_grey(seed, factor):
    image = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8)
    mixed = saturate(image, factor)
    opened = Image.fromarray(image)
    np.testing.assert_array_equal(mixed, ImageEnhance.Color(opened).enhance(factor))
    grey = np.asarray(opened.convert("L"))[..., None].astype(float)
    exact = np.clip(grey + factor * (image - grey), 0, 255)
    assert np.abs(mixed - exact).max() < 1 + 1e-9, "Pillow truncates the fraction"
    np.testing.assert_array_equal(saturate(image, 1.0), image)
    patch = saturate(image[1:4, 2:6], factor)
    np.testing.assert_array_equal(patch, mixed[1:4, 2:6], "cropping first gives the same pixels")


def test_saturation_needs_colours():
    for image in (np.zeros((2, 2, 1), np.uint8), np.zeros((2, 2, 3), np.float32)):
        with pytest.raises(ValueError, match="expected uint8 with 3"):
            saturate(image, 0.9)


@pytest.mark.parametrize("task", AUGMENTATIONS)
def test_both_images_get_the_same_augmentation_which_depends_only_on_the_generator(task, square):
    augmentation = AUGMENTATIONS[task]
    for seed in range(40):
        degraded, clean = augmentation(square, square, np.random.default_rng(seed))
        np.testing.assert_array_equal(degraded, clean)
        alone = augmentation(None, square, np.random.default_rng(seed))
        assert alone[0] is None
        np.testing.assert_array_equal(alone[1], clean)


def test_every_task_has_an_augmentation():
    assert AUGMENTATIONS.keys() == RECIPES.keys()


def test_the_jitter_of_a_sample_is_drawn_from_its_own_generator(prepared):
    store = PairStore.open(prepared("GoPro-train"))
    settings = {"patch": 16, "batch": 4, "seed": 1}
    plain = TrainingBatches(store, **settings)
    jittered = TrainingBatches(store, **settings, augment=AUGMENTATIONS["deblur"])
    seen = [jittered.sample(step, position) for step in range(6) for position in range(4)]
    for number in reversed(range(24)):
        for a, b in zip(jittered.sample(*divmod(number, 4)), seen[number], strict=True):
            np.testing.assert_array_equal(a, b)
    sums = [int(plain.sample(*divmod(number, 4))[1].sum()) for number in range(24)]
    changed = sum(int(clean.sum()) != before for (_, clean), before in zip(seen, sums, strict=True))
    assert 2 <= changed <= 16, "about a third of the samples, with the same crops"
