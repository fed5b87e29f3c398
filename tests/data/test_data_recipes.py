"""Recipes: counts implied by the paper and its code, and pixels of the released recipes."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from dgunet.cli.data_commands import data
from dgunet.data.catalogue.entries import CATALOGUE, FURTHER, dataset
from dgunet.data.readers.folder_layouts import read_pairs
from dgunet.data.store import preparation_recipes
from dgunet.data.store.pair_store import PairStore
from dgunet.data.store.preparation_recipes import (
    RECIPES,
    PreparationRecipe,
    RandomPatches,
    StudioLuma,
    WholeImages,
    find_recipe,
)
from dgunet.data.store.prepare import prepare_dataset
from dgunet.data.store.records import LoadedPair
from dgunet.system.errors import DataError

SCENE = "0001_001_S6_00100_00060_3200_L"


@pytest.mark.parametrize(
    ("task", "name", "samples", "batch", "steps"),
    [
        ("derain", "released", 13_711, 16, 857),
        ("deblur", "released", 2_103, 16, 132),
        ("denoise", "released", 96_000, 16, 6_000),
        ("cs", "released", 240_000, 32, 7_500),
        ("derain", "paper", 13_711, 16, 857),
        ("denoise", "paper", 320, 16, 20),
        ("cs", "paper", 80_000, 128, 625),
    ],
)
def test_an_epoch_has_the_samples_and_steps_of_the_original(task, name, samples, batch, steps):
    found = next(found for found in RECIPES[task] if found.name == name)
    assert (found.samples, found.steps(batch)) == (samples, steps)


@pytest.mark.parametrize("task", RECIPES)
def test_crop_sizes_are_those_of_the_paper_and_of_the_code(task):
    paper, released = RECIPES[task]
    assert (paper.name, released.name) == ("paper", "released")
    assert paper.crop == (32 if task == "cs" else 256)
    assert released.crop == {"denoise": 128, "cs": 32}.get(task, 256)


def test_the_recipes_use_every_training_set_and_div2k():
    used = {name for pair in RECIPES.values() for found in pair for name in found.sets}
    assert used == {n for n, info in CATALOGUE.items() if info.role == "train"} | {"DIV2K"}
    assert "DIV2K" in FURTHER


@pytest.mark.parametrize(
    ("name", "wanted", "reported"),
    [
        ("GoPro", "paper", "GoPro-train"),
        ("DIV2K", "paper", "BSD400"),
        ("Rain12", "released", "13K"),
    ],
)
def test_a_dataset_that_a_recipe_does_not_use_is_refused(name, wanted, reported):
    assert find_recipe(dataset(name), "whole").cut == WholeImages()
    with pytest.raises(DataError, match=rf"{name} is not a training set.*{reported}"):
        find_recipe(dataset(name), wanted)


# Patches of the released denoising recipe.


@settings(deadline=None, max_examples=25)
@given(st.text(min_size=1), st.integers(33, 90), st.integers(33, 90))
def test_patches_stay_inside_and_exclude_the_last_position(name, height, width):
    corners = RandomPatches(200, 32).corners(name, height, width)
    assert corners.shape == (200, 2)
    assert (corners >= 0).all()
    assert corners[:, 0].max() <= height - 32 - 1
    assert corners[:, 1].max() <= width - 32 - 1


def test_patch_positions_are_uniformly_distributed():
    corners = RandomPatches(60_000, 32).corners("a photograph", 32 + 5, 32 + 3)
    counts = Counter(map(tuple, corners.tolist()))
    assert set(counts) == {(row, column) for row in range(5) for column in range(3)}
    expected = 60_000 / 15
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < 42, (
        "chi-square test with 14 degrees of freedom"
    )


def test_input_and_target_patches_have_the_same_position():
    rows, columns = np.mgrid[:50, :70].astype(np.uint8)
    clean = np.dstack([rows, columns, rows])
    cut = RandomPatches(12, 32)
    patches = list(cut(LoadedPair("p", 255 - clean, clean)))
    assert [patch.id for patch in patches] == [f"p_{number:02d}" for number in range(1, 13)]
    for patch, (top, left) in zip(patches, cut.corners("p", 50, 70), strict=True):
        np.testing.assert_array_equal(patch.target, clean[top : top + 32, left : left + 32])
        np.testing.assert_array_equal(patch.input, 255 - patch.target)
    other = [patch.target[0, 0].tolist() for patch in cut(LoadedPair("q", 255 - clean, clean))]
    assert other != [patch.target[0, 0].tolist() for patch in patches], (
        "the positions depend on the image id"
    )


@pytest.fixture
def small_patches(monkeypatch):
    """The released denoising recipe with patches that fit the sample."""
    small = PreparationRecipe("released", ("SIDD-train",), RandomPatches(7, 32), crop=16)
    monkeypatch.setitem(RECIPES, "denoise", (RECIPES["denoise"][0], small))


@pytest.mark.usefixtures("small_patches")
def test_a_store_of_patches_holds_the_patches_of_its_images(sample_root, tmp_path):
    settings = {"profile": "sample", "recipe": "released", "workers": 1}
    manifest = prepare_dataset("SIDD-train", sample_root, tmp_path / "s", **settings)
    pairs = read_pairs(dataset("SIDD-train"), sample_root)
    assert manifest.recipe == "released"
    assert (manifest.count, manifest.published_count) == (7 * len(pairs), 7 * 320)
    store = PairStore.open(tmp_path / "s")
    assert {record.shape for record in store} == {(32, 32, 3)}
    image = pairs[0].target.load()
    top, left = RandomPatches(7, 32).corners(pairs[0].id, *image.shape[:2])[4]
    np.testing.assert_array_equal(store[4].target, image[top : top + 32, left : left + 32])
    assert sample_root / store[4].target_source.file == pairs[0].target.path
    many = prepare_dataset(
        "SIDD-train", sample_root, tmp_path / "m", **settings, layout="compact", shard_bytes=40_000
    )
    assert len(many.shards) > 1
    assert many.digest == manifest.digest


def test_the_number_of_workers_does_not_change_the_patches(tmp_path):
    """With the real recipe, 300 patches of 256 x 256, which worker processes look up themselves."""
    base = tmp_path / "root/SIDD_Medium_Srgb/Data" / SCENE
    base.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in ("010", "011"):
        clean = np.kron(rng.integers(0, 200, (9, 9, 3)), np.ones((32, 32, 1))).astype(np.uint8)
        noise = rng.integers(0, 50, clean.shape, np.uint8)
        Image.fromarray(clean).save(base / f"0001_GT_SRGB_{number}.PNG")
        Image.fromarray(clean + noise).save(base / f"0001_NOISY_SRGB_{number}.PNG")
    contents = []
    for workers in (1, 2):
        out = tmp_path / str(workers)
        manifest = prepare_dataset(
            "SIDD-train",
            tmp_path / "root",
            out,
            profile="sample",
            recipe="released",
            workers=workers,
            shard_bytes=1,
        )
        contents.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert (manifest.count, manifest.published_count, len(manifest.shards)) == (600, 96_000, 2)
    assert contents[0] == contents[1]


def test_images_too_small_for_the_patches_are_refused(sample_root, tmp_path):
    with pytest.raises(DataError, match=r"128x96, too small for patches of 256x256"):
        prepare_dataset(
            "SIDD-train", sample_root, tmp_path / "s", profile="sample", recipe="released"
        )
    assert not (tmp_path / "s").exists()


# Luma of the released compressive-sensing recipe.


def test_studio_luma_is_not_rounded_and_grey_files_are_unchanged(tmp_path):
    folder = tmp_path / "DIV2K_train_HR"
    folder.mkdir()
    colours = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [12, 34, 56]]], np.uint8)
    Image.fromarray(colours).save(folder / "0001.png")
    Image.fromarray(colours[..., 0]).save(folder / "0002.png")
    prepare_dataset("DIV2K", tmp_path, tmp_path / "s", profile="sample", recipe="released")
    colour, grey = PairStore.open(tmp_path / "s")
    assert (colour.target.dtype, grey.target.dtype) == (np.float32, np.uint8)
    mixed = 16 + (65.481 * 12 + 128.553 * 34 + 24.966 * 56) / 255
    expected = np.array([16, 235, 16 + 65.481, mixed]) / 255
    np.testing.assert_allclose(colour.target[0, :, 0], expected, rtol=1e-7)
    assert abs(mixed - round(mixed)) > 0.1, "rounding would change the value"
    np.testing.assert_array_equal(grey.target, colours[..., :1])
    manifest = prepare_dataset("DIV2K", tmp_path, tmp_path / "w", profile="sample")
    assert manifest.recipe == "whole"
    assert PairStore.open(tmp_path / "w")[0].target.dtype == np.uint8


def test_bsd400_is_identical_in_both_recipes(sample_root, tmp_path, prepared):
    manifest = prepare_dataset(
        "BSD400", sample_root, tmp_path / "s", profile="sample", recipe="released"
    )
    assert manifest.digest == PairStore.open(prepared("BSD400")).manifest.digest


def test_a_damaged_image_is_reported(tmp_path):
    path = tmp_path / "0001.png"
    path.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"0001\.png is not a readable image"):
        StudioLuma(path, grey=True).load()


# The command.


def test_the_prepare_command_uses_the_given_recipe_and_layout(
    sample_root, tmp_path, monkeypatch, project
):
    home, out = tmp_path / "home", tmp_path / "s"
    home.mkdir()
    (home / "params.yaml").write_text((project / "params.yaml").read_text())
    monkeypatch.setenv("DGUNET_HOME", str(home))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    arguments = f"prepare Set11 --root {sample_root} --out {out} --layout compact".split()
    reported = CliRunner().invoke(data, arguments)
    assert reported.exit_code == 0, reported.output
    manifest = PairStore.open(out).manifest
    assert (manifest.recipe, manifest.layout) == ("whole", "compact")
    assert manifest.digest[:12] in reported.output
    refused = CliRunner().invoke(data, [*arguments, "--recipe", "paper"])
    assert "Set11 is not a training set" in str(refused.exception)


def test_the_options_of_the_prepare_command_match_the_recipes():
    from typing import get_args

    from dgunet.cli.data_commands import LayoutChoice, RecipeChoice
    from dgunet.data.store.manifest import LayoutName

    assert tuple(RecipeChoice) == get_args(preparation_recipes.RecipeName)
    assert tuple(LayoutChoice) == get_args(LayoutName)
