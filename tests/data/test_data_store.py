"""The store: what goes in comes out, as views, the same bytes every time, or not at all."""

import errno
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from data_stores import write_store
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from dgunet.cli import command
from dgunet.data.catalogue.entries import CATALOGUE, dataset
from dgunet.data.readers.folder_layouts import read_pairs
from dgunet.data.store import prepare as preparation
from dgunet.data.store.pair_store import PairStore
from dgunet.data.store.prepare import prepare_dataset
from dgunet.data.store.records import LoadedPair, SourceFile
from dgunet.data.store.writer import plan_shards
from dgunet.system.errors import DataError, DgunetError
from dgunet.system.files import sha256_file


def random_pairs(seed, count, channels=3, dtype=np.uint8):
    rng = np.random.default_rng(seed)
    pairs = []
    for number in range(count):
        shape = (*rng.integers(1, 40, 2), channels)
        images = rng.integers(0, 256, (2, *shape)).astype(dtype)
        pairs.append(LoadedPair(f"p{number}", images[0], images[1]))
    return pairs


def tree(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_set_comes_back_pixel_for_pixel(name, sample_root, prepared):
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
    assert tree(tmp_path / "again") == tree(prepared("RealBlur-J"))


def test_the_digest_follows_the_pixels(spoil, prepared, tmp_path):
    root = spoil("test/Set11")
    path = root / "test/Set11/camera.tif"
    raw = bytearray(path.read_bytes())
    raw[4000] ^= 1
    path.write_bytes(raw)
    manifest = prepare_dataset("Set11", root, tmp_path / "store", profile="sample")
    assert manifest.digest != PairStore.open(prepared("Set11")).manifest.digest


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.integers(1, 6), st.integers(1, 8000), st.sampled_from([1, 3]))
def test_records_and_digest_do_not_depend_on_the_files(
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
def test_a_crop_is_a_view_equal_to_the_crop_of_the_whole(prepared, data):
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


def test_floats_and_absent_halves(tmp_path):
    image = np.random.default_rng(0).random((5, 7, 3), dtype=np.float32)
    source = SourceFile("images_srgb/0001.mat", "0" * 64)
    pair = LoadedPair("0001_01", image, None, source, None)
    write_store(tmp_path / "s", [pair])
    record = PairStore.open(tmp_path / "s")[0]
    np.testing.assert_array_equal(record.input, image)
    assert record.input.dtype == np.float32
    assert (record.target, record.target_source) == (None, None)
    assert record.input_source == source


def test_a_store_goes_to_a_worker_by_its_path(prepared):
    store = PairStore.open(prepared("Test100"))
    expected = np.array(store[1].input)
    pickled = pickle.dumps(store)
    assert len(pickled) < 2000
    np.testing.assert_array_equal(pickle.loads(pickled)[1].input, expected)  # noqa: S301


def test_a_complete_real_set_is_complete_and_a_sample_never(sample_root, tmp_path, monkeypatch):
    entry = dataset("Set11").model_copy(update={"pairs": 3, "known": (), "sizes": ()})
    monkeypatch.setitem(CATALOGUE, "Set11", entry)
    paper = prepare_dataset("Set11", sample_root, tmp_path / "paper", profile="paper")
    sample = prepare_dataset("Set11", sample_root, tmp_path / "sample", profile="sample")
    assert (paper.complete, sample.complete) == (True, False)
    monkeypatch.setitem(CATALOGUE, "Set11", entry.model_copy(update={"pairs": 4}))
    part = prepare_dataset("Set11", sample_root, tmp_path / "part", profile="paper")
    assert (part.complete, part.count, part.published_count) == (False, 3, 4)


def test_another_release_is_prepared_but_never_complete(sample_root, tmp_path, monkeypatch):
    """The wrong blur of GoPro has the right number of pairs and the right size."""
    entry = dataset("GoPro").model_copy(update={"pairs": 4, "sizes": ()})
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


# What can go wrong.


@pytest.fixture
def store_copy(prepared, tmp_path):
    return Path(shutil.copytree(prepared("Test100"), tmp_path / "store"))


def test_a_folder_that_is_no_store(tmp_path):
    with pytest.raises(DataError, match=r"not a prepared store.*dgunet data prepare"):
        PairStore.open(tmp_path)


def test_a_manifest_of_another_version_or_damaged(store_copy):
    path = store_copy / "manifest.json"
    whole = path.read_text()
    path.write_text(json.dumps(json.loads(whole) | {"version": 99}))
    with pytest.raises(DataError, match="store version 99"):
        PairStore.open(store_copy)
    for spoilt in (whole[:100], "[]", json.dumps({"version": 1, "shards": []})):
        path.write_text(spoilt)
        with pytest.raises(DataError, match=r"manifest\.json is damaged"):
            PairStore.open(store_copy)


def test_a_manifest_that_counts_other_records_than_its_files(store_copy):
    path = store_copy / "manifest.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"count": content["count"] + 1}))
    with pytest.raises(DataError, match=r"manifest\.json lists \d+ records, its files \d+"):
        PairStore.open(store_copy)


def test_a_shard_that_is_missing_or_cut_off(store_copy):
    path = store_copy / "pairs-00000.arrow"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(DataError, match=r"pairs-00000\.arrow has \d+ bytes, expected"):
        PairStore.open(store_copy)
    path.unlink()
    with pytest.raises(DataError, match=r"pairs-00000\.arrow is missing"):
        PairStore.open(store_copy)


def test_the_verb_verifies_and_names_the_damage(store_copy):
    good = CliRunner().invoke(command(), ["data", "verify", str(store_copy)])
    assert good.exit_code == 0
    assert PairStore.open(store_copy).manifest.digest in good.output
    path = store_copy / "pairs-00000.arrow"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(DataError, match="its SHA-256 differs"):
        CliRunner().invoke(command(), ["data", "verify", str(store_copy)], catch_exceptions=False)


@pytest.mark.parametrize("layout", ["raw", "compact"])
def test_pixels_that_are_not_the_digests_are_found_at_first_use(tmp_path, layout):
    """Whoever replaces a file and its hash has still other pixels than the digest says."""
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    one = [LoadedPair("a", image, image), LoadedPair("b", image, image)]
    other = [LoadedPair("a", image, image), LoadedPair("b", image, 255 - image)]
    write_store(tmp_path / "one", one, layout=layout)
    write_store(tmp_path / "other", other, layout=layout)
    PairStore.open(tmp_path / "one").verify()
    reported, wrong = (
        json.loads((tmp_path / n / "manifest.json").read_text()) for n in ("one", "other")
    )
    (tmp_path / "other" / "manifest.json").write_text(
        json.dumps(wrong | {"digest": reported["digest"]})
    )
    with pytest.raises(DataError, match=f"the digest {reported['digest']}, but the pixels have"):
        PairStore.open(tmp_path / "other")


# Preparation: all or nothing, and on from where it stopped.


def visible(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


@settings(deadline=None)
@given(st.lists(st.integers(1, 100), max_size=30), st.integers(1, 300))
def test_files_hold_consecutive_records_and_close_at_the_limit(sizes, limit):
    parts = plan_shards(sizes, limit)
    assert [index for part in parts for index in part] == list(range(len(sizes)))
    held = [sum(sizes[index] for index in part) for part in parts]
    assert all(size >= limit for size in held[:-1])
    assert all(sum(sizes[index] for index in part[:-1]) < limit for part in parts)


@pytest.mark.parametrize("name", ["RealBlur-J", "SIDD"])
def test_any_number_of_workers_gives_the_same_bytes(name, sample_root, tmp_path):
    stores = []
    for workers in (1, 2):
        out = tmp_path / str(workers)
        prepare_dataset(
            name, sample_root, out, profile="sample", workers=workers, shard_bytes=60_000
        )
        stores.append(tree(out))
    assert len(stores[0]) >= 3, "at least two files and the manifest"
    assert stores[0] == stores[1]


def test_an_error_in_a_worker_is_the_same_error(spoil, tmp_path):
    root = spoil("test/GOPRO_Large")
    path = root / "test/GOPRO_Large/test/GOPR0869_11_00/sharp/000002.png"
    path.write_bytes(path.read_bytes()[:2000])
    for workers in (1, 2):
        with pytest.raises(DataError, match=r"sharp/000002\.png is truncated"):
            prepare_dataset(
                "GoPro", root, tmp_path / "o", profile="sample", workers=workers, shard_bytes=1
            )
        assert visible(tmp_path) == ["root"]


def test_not_enough_disk_is_said_before_starting(sample_root, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(DgunetError, match="free"):
        prepare_dataset("Test100", sample_root, tmp_path / "out", profile="sample")
    assert visible(tmp_path) == []


def fail_after(pairs, error):
    """A `_decoded` that gives ``pairs`` pairs of a file and then raises ``error``."""
    decoded = preparation._decoded

    def failing(*arguments):
        for number, pair in enumerate(decoded(*arguments)):
            if number == pairs:
                raise error
            yield pair

    return failing


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError()])
def test_an_interruption_keeps_the_old_store_and_leaves_no_part(
    sample_root, tmp_path, monkeypatch, error
):
    out = tmp_path / "out"
    prepare_dataset("Test100", sample_root, out, profile="sample")
    before = tree(out)
    monkeypatch.setattr(preparation, "_decoded", fail_after(2, error))
    with pytest.raises(type(error)):
        prepare_dataset("Test100", sample_root, out, profile="sample")
    assert tree(out) == before
    assert visible(tmp_path) == ["out"]


def test_a_disk_that_fills_up_midway(sample_root, tmp_path, monkeypatch):
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(preparation, "_decoded", fail_after(1, full))
    with pytest.raises(DgunetError, match="the disk is full"):
        prepare_dataset("Test100", sample_root, tmp_path / "out", profile="sample")
    assert visible(tmp_path) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from dgunet.data.store.prepare import prepare_dataset

def observe(done, total):
    if done == 10:
        os.kill(os.getpid(), signal.SIGKILL)

prepare_dataset("Rain13K", Path(sys.argv[1]), Path(sys.argv[2]), profile="sample", workers=1,
                shard_bytes=150_000, observe=observe)
"""


def test_a_killed_preparation_goes_on_after_its_last_finished_file(sample_root, tmp_path):
    out = tmp_path / "out"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(sample_root), str(out)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert visible(tmp_path) == [".out.work"]
    finished = {p.name: p.stat().st_mtime_ns for p in (tmp_path / ".out.work").glob("p*.arrow")}
    assert len(finished) == 3

    seen = []
    settings = {"profile": "sample", "workers": 1, "shard_bytes": 150_000}
    prepare_dataset(
        "Rain13K", sample_root, out, observe=lambda done, total: seen.append(done), **settings
    )
    assert seen == list(range(10, 25)), "nine pairs were there already"
    assert {name: (out / name).stat().st_mtime_ns for name in finished} == finished
    assert visible(tmp_path) == ["out"]
    prepare_dataset("Rain13K", sample_root, tmp_path / "fresh", **settings)
    assert tree(out) == tree(tmp_path / "fresh")


def test_finished_files_that_were_touched_or_belong_to_other_data_are_not_trusted(
    spoil, tmp_path, monkeypatch
):
    root = spoil("test/GOPRO_Large")
    out, work = tmp_path / "out", tmp_path / ".out.work"
    settings = {"profile": "sample", "workers": 1, "shard_bytes": 1}

    def interrupted():
        with monkeypatch.context() as patch:
            patch.setattr(preparation, "_refuse_swapped", _interrupt)
            with pytest.raises(KeyboardInterrupt):
                prepare_dataset("GoPro", root, out, **settings)

    interrupted()
    spoilt = work / "pairs-00001.arrow"
    content = bytearray(spoilt.read_bytes())
    content[len(content) // 2] ^= 1
    spoilt.write_bytes(content)
    prepare_dataset("GoPro", root, out, **settings)
    PairStore.open(out).verify()

    interrupted()
    source = root / "test/GOPRO_Large/test/GOPR0384_11_00/blur/000001.png"
    os.utime(source, ns=(0, 0))
    seen = []
    prepare_dataset("GoPro", root, out, observe=lambda done, total: seen.append(done), **settings)
    assert seen == [1, 2, 3, 4], "another file: everything again"


def _interrupt(*_):
    raise KeyboardInterrupt


def test_two_preparations_at_once_are_refused(sample_root, tmp_path):
    with (
        FileLock(tmp_path / ".out.lock"),
        pytest.raises(DataError, match="being prepared by another process"),
    ):
        prepare_dataset("Set11", sample_root, tmp_path / "out", profile="sample")
    assert prepare_dataset("Set11", sample_root, tmp_path / "out", profile="sample").count == 3


@pytest.mark.parametrize("name", ["../../x.arrow", "/tmp/x.arrow", "a/x.arrow", ".x", "a\\b", ""])
def test_a_file_of_a_store_lies_in_its_folder(name, store_copy):
    path = store_copy / "manifest.json"
    content = json.loads(path.read_text())
    content["shards"][0]["file"] = name
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"manifest\.json names .*, which"):
        PairStore.open(store_copy)


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a\nb", "x" * 300, ""])
def test_a_record_is_not_called_as_no_file_may_be(name, tmp_path):
    """Its restored image or box becomes a file of that name."""
    write_store(tmp_path / "store", [LoadedPair(name, None, np.zeros((4, 4, 3), np.uint8))])
    with pytest.raises(DataError, match=r"store holds the record .*, which"):
        PairStore.open(tmp_path / "store")[0]


@pytest.mark.parametrize(
    "value",
    [[], {}, True, None, "3", 3.0, -1, 10**400],
    ids=["list", "object", "bool", "none", "text", "float", "negative", "huge"],
)
@pytest.mark.parametrize("name", ["count", "published_count", "records", "bytes"])
def test_a_field_of_a_manifest_has_its_type(name, value, store_copy):
    path = store_copy / "manifest.json"
    content = json.loads(path.read_text())
    (content["shards"][0] if name in ("records", "bytes") else content)[name] = value
    path.write_text(json.dumps(content))
    with pytest.raises(DataError) as reported:
        PairStore.open(store_copy)
    assert "\n" not in str(reported.value)
    assert len(str(reported.value)) < 500
