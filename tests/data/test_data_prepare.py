"""Preparation is atomic, independent of the number of workers, and resumes after a kill."""

import errno
import os
import shutil
import signal
import subprocess
import sys

import pytest
from data_stores import file_contents
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st

from dgunet.data.store import prepare as preparation
from dgunet.data.store.pair_store import PairStore
from dgunet.data.store.prepare import prepare_dataset
from dgunet.data.store.writer import plan_shards
from dgunet.system.errors import DataError, DgunetError


def visible(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


@settings(deadline=None)
@given(st.lists(st.integers(1, 100), max_size=30), st.integers(1, 300))
def test_shards_hold_consecutive_records_up_to_the_size_limit(sizes, limit):
    parts = plan_shards(sizes, limit)
    assert [index for part in parts for index in part] == list(range(len(sizes)))
    held = [sum(sizes[index] for index in part) for part in parts]
    assert all(size >= limit for size in held[:-1])
    assert all(sum(sizes[index] for index in part[:-1]) < limit for part in parts)


@pytest.mark.parametrize("name", ["RealBlur-J", "SIDD"])
def test_the_number_of_workers_does_not_change_the_bytes(name, sample_root, tmp_path):
    stores = []
    for workers in (1, 2):
        out = tmp_path / str(workers)
        prepare_dataset(
            name, sample_root, out, profile="sample", workers=workers, shard_bytes=60_000
        )
        stores.append(file_contents(out))
    assert len(stores[0]) >= 3, "at least two files and the manifest"
    assert stores[0] == stores[1]


def test_an_error_in_a_worker_is_raised_in_the_parent(editable_copy, tmp_path):
    root = editable_copy("test/GOPRO_Large")
    path = root / "test/GOPRO_Large/test/GOPR0869_11_00/sharp/000002.png"
    path.write_bytes(path.read_bytes()[:2000])
    for workers in (1, 2):
        with pytest.raises(DataError, match=r"sharp/000002\.png is truncated"):
            prepare_dataset(
                "GoPro", root, tmp_path / "o", profile="sample", workers=workers, shard_bytes=1
            )
        assert visible(tmp_path) == ["root"]


def test_too_little_disk_space_is_reported_before_starting(sample_root, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(DgunetError, match="free"):
        prepare_dataset("Test100", sample_root, tmp_path / "out", profile="sample")
    assert visible(tmp_path) == []


def fail_after(pairs, error):
    """A replacement of `_decoded` that raises ``error`` after ``pairs`` pairs of a shard."""
    decoded = preparation._decoded

    def failing(*arguments):
        for number, pair in enumerate(decoded(*arguments)):
            if number == pairs:
                raise error
            yield pair

    return failing


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError()])
def test_an_interruption_keeps_the_old_store_and_leaves_no_partial_one(
    sample_root, tmp_path, monkeypatch, error
):
    out = tmp_path / "out"
    prepare_dataset("Test100", sample_root, out, profile="sample")
    before = file_contents(out)
    monkeypatch.setattr(preparation, "_decoded", fail_after(2, error))
    with pytest.raises(type(error)):
        prepare_dataset("Test100", sample_root, out, profile="sample")
    assert file_contents(out) == before
    assert visible(tmp_path) == ["out"]


def test_a_disk_that_fills_up_leaves_no_files(sample_root, tmp_path, monkeypatch):
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


def test_a_killed_preparation_resumes_after_its_last_finished_shard(sample_root, tmp_path):
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
    assert seen == list(range(10, 25)), "nine pairs existed already"
    assert {name: (out / name).stat().st_mtime_ns for name in finished} == finished
    assert visible(tmp_path) == ["out"]
    prepare_dataset("Rain13K", sample_root, tmp_path / "fresh", **settings)
    assert file_contents(out) == file_contents(tmp_path / "fresh")


def test_changed_shards_and_shards_of_other_data_are_prepared_again(
    editable_copy, tmp_path, monkeypatch
):
    root = editable_copy("test/GOPRO_Large")
    out, work = tmp_path / "out", tmp_path / ".out.work"
    settings = {"profile": "sample", "workers": 1, "shard_bytes": 1}

    def interrupted():
        with monkeypatch.context() as patch:
            patch.setattr(preparation, "_refuse_swapped", _interrupt)
            with pytest.raises(KeyboardInterrupt):
                prepare_dataset("GoPro", root, out, **settings)

    interrupted()
    damaged = work / "pairs-00001.arrow"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    prepare_dataset("GoPro", root, out, **settings)
    PairStore.open(out).verify()

    interrupted()
    source = root / "test/GOPRO_Large/test/GOPR0384_11_00/blur/000001.png"
    os.utime(source, ns=(0, 0))
    seen = []
    prepare_dataset("GoPro", root, out, observe=lambda done, total: seen.append(done), **settings)
    assert seen == [1, 2, 3, 4], "a changed source restarts the preparation"


def _interrupt(*_):
    raise KeyboardInterrupt


def test_concurrent_preparations_of_one_store_are_refused(sample_root, tmp_path):
    with (
        FileLock(tmp_path / ".out.lock"),
        pytest.raises(DataError, match="being prepared by another process"),
    ):
        prepare_dataset("Set11", sample_root, tmp_path / "out", profile="sample")
    assert prepare_dataset("Set11", sample_root, tmp_path / "out", profile="sample").count == 3
