"""Stores hold exactly the images of the dataset, reproducibly, and return views of them."""

import pickle
import shutil

import numpy as np
import pytest
from data_stores import file_contents, with_release, write_store
from hypothesis import given, settings
from hypothesis import strategies as st

from dgunet.data.catalogue.entries import CATALOGUE, dataset
from dgunet.data.readers.folder_layouts import read_pairs
from dgunet.data.store.pair_store import PairStore
from dgunet.data.store.prepare import prepare_dataset
from dgunet.data.store.records import LoadedPair, SourceFile
from dgunet.system.files import sha256_file


def random_pairs(seed, count, channels=3, dtype=np.uint8):
    rng = np.random.default_rng(seed)
    pairs = []
    for number in range(count):
        shape = (*rng.integers(1, 40, 2), channels)
        images = rng.integers(0, 256, (2, *shape)).astype(dtype)
        pairs.append(LoadedPair(f"p{number}", images[0], images[1]))
    return pairs


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_dataset_is_stored_pixel_for_pixel(name, sample_root, prepared):
    store = PairStore.open(prepared(name))
    store.verify()
    sources = read_pairs(dataset(name), sample_root)
    assert [record.id for record in store] == [pair.id for pair in sources]
    for record, pair in zip(store, sources, strict=True):
        for stored, image, source in (
            (record.input, pair.input, record.input_source),
            (record.target, pair.target, record.target_source),
        ):
            if image is None:
                assert stored is None
                assert source is None
                continue
            np.testing.assert_array_equal(stored, image.load())
            assert sample_root / source.file == image.path
            assert source.sha256 == sha256_file(image.path)
    manifest = store.manifest
    info = dataset(name)
    assert (manifest.dataset, manifest.task, manifest.role) == (name, info.task, info.role)
    assert (manifest.count, manifest.published_count) == (len(sources), info.pairs)
    assert (manifest.profile, manifest.complete) == ("sample", False)


def test_preparing_again_gives_the_same_bytes(sample_root, prepared, tmp_path):
    prepare_dataset("RealBlur-J", sample_root, tmp_path / "again", profile="sample")
    assert file_contents(tmp_path / "again") == file_contents(prepared("RealBlur-J"))


def test_one_changed_pixel_changes_the_digest(editable_copy, prepared, tmp_path):
    root = editable_copy("test/Set11")
    path = root / "test/Set11/camera.tif"
    raw = bytearray(path.read_bytes())
    raw[4000] ^= 1
    path.write_bytes(raw)
    manifest = prepare_dataset("Set11", root, tmp_path / "store", profile="sample")
    assert manifest.digest != PairStore.open(prepared("Set11")).manifest.digest


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.integers(1, 6), st.integers(1, 8000), st.sampled_from([1, 3]))
def test_records_and_digest_do_not_depend_on_the_shard_size(
    tmp_path_factory, seed, count, shard_bytes, channels
):
    folder = tmp_path_factory.mktemp("shards")
    pairs = random_pairs(seed, count, channels)
    one = write_store(folder / "one", pairs)
    many = write_store(folder / "many", pairs, shard_bytes)
    assert one.digest == many.digest
    assert len(one.shards) == 1
    store = PairStore.open(folder / "many")
    assert len(store) == count
    for record, pair in zip(store, pairs, strict=True):
        np.testing.assert_array_equal(record.input, pair.input)
        np.testing.assert_array_equal(record.target, pair.target)
    with pytest.raises(IndexError):
        store[count]


@settings(deadline=None, max_examples=20)
@given(st.data())
def test_a_crop_is_a_view_of_the_whole_image(prepared, data):
    store = PairStore.open(prepared("Test100"))
    record = store[data.draw(st.integers(0, len(store) - 1))]
    height, width, _ = record.shape
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    rows, columns = data.draw(st.integers(1, height - top)), data.draw(st.integers(1, width - left))
    crop = record.crop(top, left, rows, columns)
    for part, whole in ((crop.input, record.input), (crop.target, record.target)):
        assert np.shares_memory(part, whole)
        np.testing.assert_array_equal(
            part, np.array(whole)[top : top + rows, left : left + columns]
        )


def test_records_are_read_only(prepared):
    record = PairStore.open(prepared("Test100"))[0]
    with pytest.raises(ValueError, match="read-only"):
        record.input[0, 0, 0] = 1


def test_floating_point_images_and_missing_targets_are_stored(tmp_path):
    image = np.random.default_rng(0).random((5, 7, 3), dtype=np.float32)
    source = SourceFile("images_srgb/0001.mat", "0" * 64)
    pair = LoadedPair("0001_01", image, None, source, None)
    write_store(tmp_path / "s", [pair])
    record = PairStore.open(tmp_path / "s")[0]
    np.testing.assert_array_equal(record.input, image)
    assert record.input.dtype == np.float32
    assert (record.target, record.target_source) == (None, None)
    assert record.input_source == source


def test_a_pickled_store_contains_only_its_path(prepared):
    store = PairStore.open(prepared("Test100"))
    expected = np.array(store[1].input)
    pickled = pickle.dumps(store)
    assert len(pickled) < 2000
    np.testing.assert_array_equal(pickle.loads(pickled)[1].input, expected)  # noqa: S301


def test_only_a_complete_real_dataset_is_marked_complete(sample_root, tmp_path, monkeypatch):
    entry = with_release(dataset("Set11"), pairs=3, digest="").model_copy(update={"sizes": ()})
    monkeypatch.setitem(CATALOGUE, "Set11", entry)
    paper = prepare_dataset("Set11", sample_root, tmp_path / "paper", profile="paper")
    sample = prepare_dataset("Set11", sample_root, tmp_path / "sample", profile="sample")
    assert (paper.complete, sample.complete) == (True, False)
    monkeypatch.setitem(CATALOGUE, "Set11", with_release(entry, pairs=4))
    part = prepare_dataset("Set11", sample_root, tmp_path / "part", profile="paper")
    assert (part.complete, part.count, part.published_count) == (False, 3, 4)


def test_another_release_is_prepared_but_never_marked_complete(sample_root, tmp_path, monkeypatch):
    """The other blur of GoPro has the same number of pairs and the same sizes."""
    entry = with_release(dataset("GoPro"), pairs=4).model_copy(update={"sizes": ()})
    monkeypatch.setitem(CATALOGUE, "GoPro", entry)
    source = sample_root / "test/GOPRO_Large/test"
    for blur in ("blur", "blur_gamma"):
        for sequence in source.iterdir():
            for half, kind in (("input", blur), ("target", "sharp")):
                folder = tmp_path / blur / "GoPro" / half
                folder.mkdir(parents=True, exist_ok=True)
                for path in (sequence / kind).iterdir():
                    shutil.copyfile(path, folder / f"{sequence.name}-{path.name}")
    right, wrong = (
        prepare_dataset("GoPro", tmp_path / blur, tmp_path / f"{blur}.store", profile="paper")
        for blur in ("blur", "blur_gamma")
    )
    assert (right.complete, right.doubts) == (True, ())
    assert not wrong.complete
    assert "brighter inputs are blur_gamma" in wrong.doubts[0]
    assert PairStore.open(tmp_path / "blur_gamma.store").manifest == wrong
    assert "doubts" not in (tmp_path / "blur.store/manifest.json").read_text()
