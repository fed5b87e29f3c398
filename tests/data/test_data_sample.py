"""The sample: reproducible, small, freely licensed, with the official layouts."""

import numpy as np
import pytest
from typer.testing import CliRunner

from dgunet.cli.data_commands import data
from dgunet.data.catalogue.entries import CATALOGUE
from dgunet.data.readers.folder_layouts import find_tree, read_pairs
from dgunet.data.sample.generate import GREY_TEST, GREY_TRAIN, TEST, TRAIN, generate_sample
from dgunet.data.sample.photographs import PHOTOGRAPHS


@pytest.fixture(scope="module")
def regenerated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("again") / "sample"
    generate_sample(folder)
    return folder


def files_of(root):
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_the_regenerated_sample_has_the_committed_pixels(project, regenerated):
    committed = project / "data" / "sample"
    if not committed.is_dir():
        pytest.skip("the sample is not here: run `dvc pull data`")
    assert files_of(regenerated) == files_of(committed)
    for info in CATALOGUE.values():
        again, before = (read_pairs(info, root) for root in (regenerated, committed))
        for new, old in zip(again, before, strict=True):
            for a, b in ((new.input, old.input), (new.target, old.target)):
                if a is not None:
                    np.testing.assert_array_equal(a.load(), b.load())
    assert (regenerated / "README.md").read_text() == (committed / "README.md").read_text()


def test_the_sample_is_smaller_than_eight_megabytes(regenerated):
    assert sum(path.stat().st_size for path in regenerated.rglob("*")) < 8e6


def test_every_dataset_has_its_official_layout(regenerated):
    for info in CATALOGUE.values():
        tree, folder = find_tree(info, regenerated)
        assert tree == info.trees[0]
        assert folder == regenerated / info.role / tree.folder


def test_the_sample_has_the_official_file_names(regenerated):
    names = files_of(regenerated)
    for expected in (
        "train/Rain13K/input/24.jpg",
        "train/GOPRO_Large/train/GOPR0372_07_00/blur_gamma/000001.png",
        "train/SIDD_Medium_Srgb/Data/0001_001_S6_00100_00060_3200_L/0001_NOISY_SRGB_010.PNG",
        "train/BSD400/test_018.png",
        "test/GOPRO_Large/test/GOPR0384_11_00/blur/000001.png",
        "test/HIDE_dataset/test/test-close-ups/1fromGOPR0950.png",
        "test/HIDE_dataset/GT/1fromGOPR0950.png",
        "test/RealBlur/RealBlur-J_ECC_IMCORR_centroid_itensity_ref/scene003/gt/gt_1.png",
        "test/RealBlur/RealBlur_J_test_list.txt",
        "test/SIDD/ValidationNoisyBlocksSrgb.mat",
        "test/dnd_2017/images_srgb/0001.mat",
        "test/dnd_2017/info.mat",
        "test/Set11/camera.tif",
        "test/BSD68/test001.png",
    ):
        assert expected in names
    assert not any("dnd" in name and "gt" in name.lower() for name in names)


def test_training_and_test_images_are_disjoint():
    training = {photograph.name for photograph in (*TRAIN, *GREY_TRAIN)}
    testing = {photograph.name for photograph in (*TEST, *GREY_TEST)}
    assert not training & testing
    roles = {photograph.name: photograph.role for photograph in PHOTOGRAPHS}
    assert {roles[name] for name in training} == {"train"}
    assert {roles[name] for name in testing} == {"test"}
    assert training | testing == set(roles)


def test_every_image_is_freely_licensed_and_credited(regenerated, project):
    text = (regenerated / "README.md").read_text()
    documented = (project / "docs" / "sample-data.md").read_text()
    for photograph in PHOTOGRAPHS:
        assert photograph.licence in ("CC0 1.0", "public domain")
        row = f"| {photograph.name} | {photograph.role} | {photograph.author} |"
        assert row in text
        assert row in documented


def test_the_sample_command(tmp_path, regenerated):
    result = CliRunner().invoke(data, ["sample", "--out", str(tmp_path / "s")])
    assert result.exit_code == 0, result.output
    assert files_of(tmp_path / "s") == files_of(regenerated)
    assert "199 files" in result.stdout
