"""Every defect of a folder layout is reported with the file it concerns."""

import h5py
import numpy as np
import pytest
from data_stores import prepare
from PIL import Image
from scipy.io import savemat

from dgunet.system.errors import DataError


def test_a_missing_dataset_is_reported_with_its_expected_folder(tmp_path):
    with pytest.raises(DataError, match=r"Rain100H.*test/Rain100H.*docs/data\.md"):
        prepare("Rain100H", tmp_path, tmp_path)
    with pytest.raises(DataError, match="unknown dataset 'Rain100X'"):
        prepare("Rain100X", tmp_path, tmp_path)


def test_an_empty_dataset_is_refused(tmp_path):
    (tmp_path / "Set11").mkdir()
    with pytest.raises(DataError, match=r"no image in .*Set11"):
        prepare("Set11", tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("name", "folder", "lost", "partner"),
    [
        ("Rain100H", "test/Rain100H", "target/2.png", "input/2.png has no clean target"),
        ("Rain100H", "test/Rain100H", "input/2.png", "target/2.png has no degraded input"),
        (
            "GoPro",
            "test/GOPRO_Large",
            "test/GOPR0869_11_00/sharp/000002.png",
            "GOPR0869_11_00/blur/000002.png has no clean target",
        ),
        (
            "HIDE",
            "test/HIDE_dataset",
            "GT/1fromGOPR0950.png",
            "test-close-ups/1fromGOPR0950.png has no clean target",
        ),
        (
            "SIDD-train",
            "train/SIDD_Medium_Srgb",
            "Data/0001_001_S6_00100_00060_3200_L/0001_NOISY_SRGB_011.PNG",
            "0001_GT_SRGB_011.PNG has no degraded input",
        ),
    ],
)
def test_an_image_without_counterpart_is_reported(
    editable_copy, tmp_path, name, folder, lost, partner
):
    root = editable_copy(folder)
    (root / folder / lost).unlink()
    with pytest.raises(DataError, match=partner):
        prepare(name, root, tmp_path)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("name", "folder", "lost"),
    [
        ("Rain100H", "test/Rain100H", "target"),
        ("GoPro", "test/GOPRO_Large", "test"),
        ("GoPro", "test/GOPRO_Large", "test/GOPR0869_11_00/blur"),
        ("HIDE", "test/HIDE_dataset", "test/test-long-shot"),
        ("RealBlur-J", "test/RealBlur", "RealBlur_J_test_list.txt"),
        (
            "RealBlur-J",
            "test/RealBlur",
            "RealBlur-J_ECC_IMCORR_centroid_itensity_ref/scene003/gt/gt_1.png",
        ),
        ("SIDD", "test/SIDD", "ValidationGtBlocksSrgb.mat"),
        ("DND", "test/dnd_2017", "info.mat"),
        ("DND", "test/dnd_2017", "images_srgb/0002.mat"),
        ("SIDD-train", "train/SIDD_Medium_Srgb", "Data"),
    ],
)
def test_a_missing_file_or_folder_is_reported(editable_copy, tmp_path, name, folder, lost):
    root = editable_copy(folder)
    (root / folder / lost).rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=lost.split("/")[-1]):
        prepare(name, root, tmp_path)


@pytest.mark.parametrize(
    ("name", "folder", "file"),
    [
        ("Rain100H", "test/Rain100H", "input/3.png"),
        ("Test2800", "test/Test2800", "target/1.jpg"),
        ("GoPro", "test/GOPRO_Large", "test/GOPR0384_11_00/sharp/000001.png"),
        ("Set11", "test/Set11", "camera.tif"),
        ("SIDD", "test/SIDD", "ValidationNoisyBlocksSrgb.mat"),
        ("DND", "test/dnd_2017", "images_srgb/0001.mat"),
    ],
)
def test_a_truncated_file_is_reported_and_nothing_is_written(
    editable_copy, tmp_path, name, folder, file
):
    root = editable_copy(folder)
    path = root / folder / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(DataError, match=path.name):
        prepare(name, root, tmp_path)
    left = [child.name for child in tmp_path.iterdir() if child.name != ".store.lock"]
    assert left == ["root"]


def test_different_sizes_within_a_pair_are_reported(editable_copy, tmp_path):
    root = editable_copy("test/Rain100H")
    path = root / "test/Rain100H/target/2.png"
    with Image.open(path) as image:
        cut = image.crop((0, 0, 96, 88))
    cut.save(path)
    with pytest.raises(DataError, match=r"input/2\.png is 128x96 .*target/2\.png 96x88"):
        prepare("Rain100H", root, tmp_path)


def test_two_files_of_one_image_are_refused(editable_copy, tmp_path):
    root = editable_copy("test/Rain100H")
    folder = root / "test/Rain100H/input"
    with Image.open(folder / "1.png") as image:
        image.save(folder / "1.jpg")
    with pytest.raises(DataError, match="two files for one image"):
        prepare("Rain100H", root, tmp_path)


def test_two_pairs_with_the_same_name_are_refused(editable_copy, tmp_path):
    root = editable_copy("test/HIDE_dataset")
    folder = root / "test/HIDE_dataset/test"
    name = "1fromGOPR0950.png"
    (folder / "test-long-shot" / name).write_bytes((folder / "test-close-ups" / name).read_bytes())
    with pytest.raises(DataError, match="two pairs are called 1fromGOPR0950"):
        prepare("HIDE", root, tmp_path)


def test_a_list_line_without_two_paths_is_reported(editable_copy, tmp_path):
    root = editable_copy("test/RealBlur")
    path = root / "test/RealBlur/RealBlur_J_test_list.txt"
    path.write_text(path.read_text() + "only-one-path.png\n")
    with pytest.raises(DataError, match=r"RealBlur_J_test_list\.txt, line 5"):
        prepare("RealBlur-J", root, tmp_path)


def test_a_matlab_file_without_the_expected_blocks_is_refused(editable_copy, tmp_path):
    root = editable_copy("test/SIDD")
    savemat(root / "test/SIDD/ValidationGtBlocksSrgb.mat", {"other": np.zeros(3)})
    with pytest.raises(DataError, match="ValidationGtBlocksSrgb is nothing"):
        prepare("SIDD", root, tmp_path)
    blocks = np.zeros((1, 2, 8, 8, 3), np.uint8)
    savemat(root / "test/SIDD/ValidationGtBlocksSrgb.mat", {"ValidationGtBlocksSrgb": blocks})
    with pytest.raises(DataError, match="6 noisy and 2 clean blocks"):
        prepare("SIDD", root, tmp_path)


def test_a_box_outside_its_image_is_refused(editable_copy, tmp_path):
    root = editable_copy("test/dnd_2017")
    with h5py.File(root / "test/dnd_2017/info.mat", "r+") as handle:
        handle[handle["info"]["boundingboxes"][0][0]][2, 3] = 999
    with pytest.raises(DataError, match="box 4 of image 1"):
        prepare("DND", root, tmp_path)
