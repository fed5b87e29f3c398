"""Every official and circulating folder layout can be read."""

import unicodedata

import h5py
import numpy as np
import pytest
from data_stores import prepare
from PIL import Image
from scipy.io import savemat

from dgunet.data.catalogue.entries import CATALOGUE, dataset
from dgunet.data.readers.folder_layouts import datasets_under, read_pairs
from dgunet.data.readers.pairing import natural
from dgunet.data.store.pair_store import PairStore
from dgunet.system.errors import DataError

SAMPLE_PAIRS = {
    "Test100": 3,
    "Rain100H": 3,
    "Rain100L": 3,
    "Test2800": 3,
    "Test1200": 3,
    "GoPro": 4,
    "HIDE": 3,
    "RealBlur-J": 4,
    "SIDD": 6,
    "DND": 40,
    "Set11": 3,
    "BSD68": 3,
    "Rain13K": 24,
    "GoPro-train": 16,
    "SIDD-train": 8,
    "BSD400": 18,
}


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_sample_tree_can_be_read(name, sample_root):
    info = dataset(name)
    pairs = read_pairs(info, sample_root)
    assert len(pairs) == SAMPLE_PAIRS[name]
    assert len({pair.id for pair in pairs}) == len(pairs)
    assert [pair.id for pair in pairs] == sorted((pair.id for pair in pairs), key=natural)
    for pair in pairs[:2]:
        halves = [p for p in (pair.input, pair.target) if p is not None]
        images = [half.load() for half in halves]
        assert [image.shape for image in images] == [half.shape() for half in halves]
        assert images[0].shape == images[-1].shape
        assert images[0].shape[2] == (1 if info.grey else 3)
        assert images[0].dtype == (np.float32 if name == "DND" else np.uint8)
    assert (pairs[0].input is None) == (info.task == "cs")
    assert (pairs[0].target is None) == (name == "DND")


def test_inputs_are_the_degraded_half(sample_root):
    """Blur is smoother, rain brighter and noise rougher than the clean image."""
    for name, worse in (
        ("GoPro", lambda y, x: _detail(y) < _detail(x)),
        ("HIDE", lambda y, x: _detail(y) < _detail(x)),
        ("RealBlur-J", lambda y, x: _detail(y) < _detail(x)),
        ("Rain100H", lambda y, x: y.mean() > x.mean()),
        ("SIDD", lambda y, x: _detail(y) > _detail(x)),
        ("SIDD-train", lambda y, x: _detail(y) > _detail(x)),
    ):
        for pair in read_pairs(dataset(name), sample_root):
            assert worse(pair.input.load().astype(float), pair.target.load().astype(float)), name


def _detail(image):
    return np.abs(np.diff(image, axis=1)).mean()


def test_gopro_reads_the_linear_blur_of_the_benchmark(sample_root):
    pair = read_pairs(dataset("GoPro"), sample_root)[0]
    assert pair.id == "GOPR0384_11_00-000001"
    assert pair.input.path.parent.name == "blur"


def test_dnd_boxes_are_the_rows_and_columns_of_the_index(sample_root):
    folder = sample_root / "test" / "dnd_2017"
    with h5py.File(folder / "info.mat") as handle:
        boxes = np.array(handle[handle["info"]["boundingboxes"][0][1]]).T.astype(int)
    with h5py.File(folder / "images_srgb" / "0002.mat") as handle:
        image = np.array(handle["InoisySRGB"]).T
    pairs = {pair.id: pair for pair in read_pairs(dataset("DND"), sample_root)}
    r0, c0, r1, c1 = boxes[6]
    expected = image[r0 - 1 : r1, c0 - 1 : c1]
    np.testing.assert_array_equal(pairs["0002_07"].input.load(), expected)


def test_sidd_blocks_of_matlab_7_3_are_the_same(tmp_path):
    from dgunet.data.readers.matlab import sidd_blocks

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (2, 3, 5, 4, 3), dtype=np.uint8)
    old, new = tmp_path / "old.mat", tmp_path / "new.mat"
    savemat(old, {"Blocks": pixels})
    with h5py.File(new, "w", userblock_size=512) as handle:
        handle.create_dataset("Blocks", data=pixels.T, compression="gzip")
        handle.create_group("#refs#")
        handle.create_dataset("wide", data=pixels.T.astype(float))
    with new.open("r+b") as handle:
        handle.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM")
    blocks = {path: sidd_blocks(path, "Blocks") for path in (old, new)}
    assert list(blocks[new]) == list(blocks[old]) and len(blocks[new]) == 6
    for name, block in blocks[new].items():
        assert block.shape() == (5, 4, 3)
        assert np.array_equal(block.load(), blocks[old][name].load())
    assert np.array_equal(blocks[new]["0002_0003"].load(), pixels[1, 2])
    for variable, found in (("wide", "float64"), ("none", "nothing")):
        with pytest.raises(DataError, match=rf"{variable} is {found}"):
            sidd_blocks(new, variable)
    new.write_bytes(new.read_bytes()[:-300])
    with pytest.raises(DataError, match=r"new\.mat"):
        sidd_blocks(new, "Blocks")["0001_0001"].load()


def test_sidd_blocks_are_numbered_by_scene_and_block(sample_root):
    from scipy.io import loadmat

    file = sample_root / "test" / "SIDD" / "ValidationGtBlocksSrgb.mat"
    blocks = loadmat(file)["ValidationGtBlocksSrgb"]
    pairs = {pair.id: pair for pair in read_pairs(dataset("SIDD"), sample_root)}
    np.testing.assert_array_equal(pairs["0002_0003"].target.load(), blocks[1, 2])


def test_pairs_are_matched_by_name_and_sorted_numerically(tmp_path):
    for number in (10, 9, 2, 1):
        for half in ("input", "target"):
            path = tmp_path / "Test100" / half / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (16, 16), (number, 0, 0)).save(path)
    pairs = read_pairs(dataset("Test100"), tmp_path)
    assert [pair.id for pair in pairs] == ["1", "2", "9", "10"]
    for pair in pairs:
        assert pair.input.load()[0, 0, 0] == pair.target.load()[0, 0, 0] == int(pair.id)


def test_the_circulating_copy_of_gopro_can_be_read(sample_root, tmp_path):
    """GoPro as {input,target} with joined sequence and frame has the same ids and pixels."""
    official = read_pairs(dataset("GoPro"), sample_root)
    for pair in official:
        for half, image in (("input", pair.input), ("target", pair.target)):
            path = tmp_path / "GoPro" / half / f"{pair.id}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(image.path.read_bytes())
    copy = read_pairs(dataset("GoPro"), tmp_path)
    assert [pair.id for pair in copy] == [pair.id for pair in official]
    np.testing.assert_array_equal(copy[1].input.load(), official[1].input.load())


@pytest.mark.parametrize(
    ("degraded", "clean"),
    [
        ("rainy/rain-{:03}.png", "norain-{:03}.png"),
        ("rain/rain-{:03}.png", "norain/norain-{:03}.png"),
        ("rain-{:03}.png", "norain-{:03}.png"),
    ],
)
def test_the_circulating_layouts_of_rain100_can_be_read(tmp_path, degraded, clean):
    for number in (1, 2, 10):
        for pattern, shade in ((degraded, 100), (clean, 0)):
            path = tmp_path / "test/Rain100L" / pattern.format(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (16, 16), (shade + number, 0, 0)).save(path)
    pairs = read_pairs(dataset("Rain100L"), tmp_path)
    assert [pair.id for pair in pairs] == ["001", "002", "010"]
    for pair, number in zip(pairs, (1, 2, 10), strict=True):
        shades = [half.load()[0, 0, 0] for half in (pair.input, pair.target)]
        assert shades == [100 + number, number]


@pytest.mark.parametrize(
    ("name", "folder", "left"), [("Test1200", "DID-MDN-test", True), ("Rain800", "Rain800", False)]
)
def test_side_by_side_pairs_are_split(tmp_path, name, folder, left):
    rng = np.random.default_rng(0)
    clean = rng.integers(60, 180, (20, 30, 3), np.uint8)
    rainy = (clean + rng.integers(0, 60, clean.shape)).astype(np.uint8)
    path = tmp_path / folder / "7.png"
    path.parent.mkdir()
    Image.fromarray(np.hstack([rainy, clean] if left else [clean, rainy])).save(path)
    prepare(name, tmp_path, tmp_path)
    (record,) = PairStore.open(tmp_path / "store")
    np.testing.assert_array_equal(record.input, rainy)
    np.testing.assert_array_equal(record.target, clean)
    Image.fromarray(np.hstack([rainy, clean])[:, 1:]).save(path)
    with pytest.raises(DataError, match=r"7\.png has 59 columns, which cannot be halved"):
        prepare(name, tmp_path, tmp_path)


def test_datasets_are_found_by_their_folders(sample_root, tmp_path):
    assert datasets_under(sample_root) == list(CATALOGUE)
    assert datasets_under(tmp_path) == []
    (tmp_path / "train/DIV2K_train_HR").mkdir(parents=True)
    assert datasets_under(tmp_path) == ["DIV2K"]


def test_names_with_spaces_and_unicode_can_be_read(editable_copy, tmp_path):
    root = editable_copy("test/Rain100H")
    moved = tmp_path / "ein Ördner mit データ"
    root.rename(moved)
    for half in ("input", "target"):
        (moved / "test/Rain100H" / half / "1.png").rename(
            moved / "test/Rain100H" / half / "ein bild ü.png"
        )
    manifest = prepare("Rain100H", moved, tmp_path)
    assert manifest.count == 3


def test_names_in_different_unicode_normalisations_are_paired(tmp_path):
    for half, form in (("input", "NFC"), ("target", "NFD")):
        path = tmp_path / "Rain100H" / half / unicodedata.normalize(form, "Ördner é.png")
        path.parent.mkdir(parents=True)
        Image.new("RGB", (16, 16)).save(path)
    (pair,) = read_pairs(dataset("Rain100H"), tmp_path)
    assert pair.input.load().shape == pair.target.load().shape
