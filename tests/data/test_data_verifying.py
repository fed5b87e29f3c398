"""A store is verified completely at first use and after each change, and not again."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from data_stores import with_release, write_store

from dgunet.cli import command
from dgunet.data.catalogue.entries import CATALOGUE, dataset
from dgunet.data.store import verification, verified_notes
from dgunet.data.store.pair_store import PairStore
from dgunet.data.store.prepare import prepare_dataset
from dgunet.data.store.records import LoadedPair
from dgunet.system.errors import DataError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A separate cache of verification notes for each test."""
    monkeypatch.setenv(verified_notes.CACHE, str(tmp_path / "cache"))
    monkeypatch.setattr(verified_notes, "_seen", {})
    return tmp_path / "cache"


@pytest.fixture
def reads(monkeypatch):
    """The folder names of the stores that were verified."""
    names = []
    whole = verification.verify

    def counted(store, *arguments):
        names.append(store.folder.name)
        whole(store, *arguments)

    monkeypatch.setattr(verification, "verify", counted)
    return names


@pytest.fixture
def store(prepared, tmp_path):
    return Path(shutil.copytree(prepared("Test100"), tmp_path / "store"))


def forget(monkeypatch):
    """Forget the verified stores, as in a new process."""
    monkeypatch.setattr(verified_notes, "_seen", {})


def change_byte(path, position, byte=None):
    """Change one byte of a file; its size stays, its timestamp changes."""
    content = bytearray(path.read_bytes())
    content[position] = content[position] ^ 1 if byte is None else byte
    path.write_bytes(content)


def test_a_store_is_verified_once(store, reads, monkeypatch):
    for _ in range(3):
        PairStore.open(store)
        forget(monkeypatch)
    assert reads == ["store"]


def test_verification_does_not_change_the_store(store):
    before = {path.name: path.stat().st_mtime_ns for path in store.iterdir()}
    PairStore.open(store)
    assert {path.name: path.stat().st_mtime_ns for path in store.iterdir()} == before


def test_without_a_cache_folder_each_process_verifies_once(store, reads, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv(verified_notes.CACHE, str(tmp_path / "file"))
    PairStore.open(store)
    PairStore.open(store)
    assert reads == ["store"]
    forget(monkeypatch)
    PairStore.open(store)
    assert reads == ["store", "store"]


@pytest.mark.parametrize("note", ["", "[]", "null", "{", '{"store": 1}', "\x00"])
def test_a_damaged_note_is_ignored(store, reads, monkeypatch, cache, note):
    PairStore.open(store)
    (path,) = cache.rglob("*.json")
    path.write_text(note)
    forget(monkeypatch)
    PairStore.open(store)
    assert reads == ["store", "store"]


@pytest.mark.parametrize("position", [0, 1, 7, "middle", -1])
def test_a_changed_byte_is_found_at_the_next_use(store, position):
    PairStore.open(store)
    shard = store / "pairs-00000.arrow"
    change_byte(shard, shard.stat().st_size // 2 if position == "middle" else position)
    with pytest.raises(DataError, match=r"pairs-00000\.arrow has changed since it was prepared"):
        PairStore.open(store)


def test_a_change_with_a_restored_timestamp_is_found(store):
    shard = store / "pairs-00000.arrow"
    PairStore.open(store)
    before = shard.stat()
    change_byte(shard, before.st_size // 2)
    os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(DataError, match="has changed since it was prepared"):
        PairStore.open(store)


def test_a_replaced_file_with_the_same_content_is_verified_again(store, reads):
    PairStore.open(store)
    shard = store / "pairs-00000.arrow"
    shutil.copy2(shard, store / "copy")
    (store / "copy").replace(shard)
    PairStore.open(store)
    assert reads == ["store", "store"]


def test_a_worker_does_not_verify_again(store, reads, monkeypatch):
    content = pickle.dumps(PairStore.open(store))
    forget(monkeypatch)
    monkeypatch.setenv(verified_notes.CACHE, "/nowhere")
    assert pickle.loads(content)[0].id == PairStore.open(store, check=False)[0].id  # noqa: S301
    assert reads == ["store"]


OPENS = """
import sys
from dgunet.data.store import verification
from dgunet.data.store.pair_store import PairStore
whole = verification.verify
def counted(*arguments):
    print("read", flush=True)
    whole(*arguments)
verification.verify = counted
PairStore.open(sys.argv[1])
"""


def test_processes_that_open_a_store_together_verify_it_once(store):
    command = [sys.executable, "-c", OPENS, str(store)]
    at_once = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    reported = [process.communicate(timeout=120)[0] for process in at_once]
    assert [process.returncode for process in at_once] == [0, 0, 0]
    assert "".join(reported).count("read") == 1


def edit_manifest(store, **changes):
    """Replace fields of the manifest."""
    path = store / "manifest.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"complete": True}, "complete is True"),
        ({"complete": True, "profile": "paper"}, "complete is True"),
        ({"protocol": "gopro-rgb"}, "protocol is 'gopro-rgb', it should be 'rain-y'"),
        ({"protocol": "\\\\input{x}"}, "protocol is"),
        ({"published_count": 3}, "published_count is 3, it should be 98"),
        ({"task": "deblur"}, "task is 'deblur'"),
        ({"role": "train"}, "role is 'train'"),
        ({"profile": "real"}, "profile is 'real'"),
        ({"profile": "paper"}, "profile is 'paper', but the pixels are the sample's"),
        ({"recipe": "other"}, "unknown recipe"),
        ({"digest": "0" * 64}, "has the digest 000"),
        ({"dataset": "Mine", "complete": True}, "complete is True"),
    ],
    ids=str,
)
def test_an_edited_manifest_field_is_reported(store, changes, message):
    PairStore.open(store)
    edit_manifest(store, **changes)
    with pytest.raises(DataError, match=message):
        PairStore.open(store)


@pytest.mark.parametrize("length", [0, 10, 1000])
def test_a_garbage_shard_with_a_matching_digest_gives_a_one_line_error(store, length):
    """With a matching digest of the shard, the error comes from Arrow."""
    import hashlib

    shard = store / "pairs-00000.arrow"
    for start in (b"", b"ARROW1\\0\\0"):
        garbage = start + np.random.default_rng(length).bytes(length)
        shard.write_bytes(garbage)
        entry = json.loads((store / "manifest.json").read_text())["shards"][0]
        digest = hashlib.sha256(garbage).hexdigest()
        edit_manifest(store, shards=[entry | {"bytes": len(garbage), "sha256": digest}])
        with pytest.raises(DataError, match=r"pairs-00000\.arrow is damaged"):
            PairStore.open(store)


def test_mangled_records_with_matching_digests_are_refused(store):
    import hashlib

    shard, rng = store / "pairs-00000.arrow", np.random.default_rng(1)
    whole, manifest = shard.read_bytes(), (store / "manifest.json").read_text()
    refused = 0
    for _ in range(60):
        damaged = bytearray(whole)
        for position in rng.integers(0, len(whole), 20):
            damaged[position] = rng.integers(256)
        for position in rng.integers(len(whole) - 3000, len(whole), 5):  # the footer
            damaged[position] = rng.integers(256)
        shard.write_bytes(damaged)
        (store / "manifest.json").write_text(manifest)
        entry = json.loads(manifest)["shards"][0]
        edit_manifest(store, shards=[entry | {"sha256": hashlib.sha256(damaged).hexdigest()}])
        with pytest.raises(DataError):
            PairStore.open(store)
        refused += 1
    assert refused == 60


def test_two_records_with_the_same_id_are_refused(tmp_path):
    image = np.zeros((4, 4, 3), np.uint8)
    write_store(tmp_path / "s", [LoadedPair("a", image, image), LoadedPair("a", image, image)])
    with pytest.raises(DataError, match="two records with the same id"):
        PairStore.open(tmp_path / "s")


def test_a_dataset_marked_complete_must_have_the_pixels_of_the_release(
    sample_root, tmp_path, monkeypatch
):
    """The manifest was edited: its doubts were removed and ``complete`` was set."""
    entry = with_release(dataset("GoPro"), pairs=4).model_copy(update={"sizes": ()})
    monkeypatch.setitem(CATALOGUE, "GoPro", entry)
    source = sample_root / "test/GOPRO_Large/test"
    for sequence in source.iterdir():
        for half, kind in (("input", "blur_gamma"), ("target", "sharp")):
            folder = tmp_path / "root/GoPro" / half
            folder.mkdir(parents=True, exist_ok=True)
            for path in (sequence / kind).iterdir():
                shutil.copyfile(path, folder / f"{sequence.name}-{path.name}")
    out = tmp_path / "store"
    prepare_dataset("GoPro", tmp_path / "root", out, profile="paper")
    PairStore.open(out)
    content = json.loads((out / "manifest.json").read_text())
    del content["doubts"]
    (out / "manifest.json").write_text(json.dumps(content | {"complete": True}))
    with pytest.raises(DataError, match="complete is true, but should be false: another release"):
        PairStore.open(out)


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_digests_of_the_sample_are_known(name, prepared):
    digest = json.loads((prepared(name) / "manifest.json").read_text())["digest"]
    assert digest in verification.sample_digests()


def test_progress_is_reported_in_megabytes(tmp_path, monkeypatch):
    image = np.zeros((600, 600, 3), np.uint8)
    pairs = [LoadedPair(str(n), image, image) for n in range(3)]
    write_store(tmp_path / "s", pairs, shard_bytes=1)
    reported = []
    verification.verify(PairStore.open(tmp_path / "s", check=False), lambda *n: reported.append(n))
    assert reported == [(2, 6), (4, 6), (6, 6)]


def test_the_verify_command_reads_the_whole_store_each_time(store, reads, monkeypatch):
    from typer.testing import CliRunner

    for _ in range(2):
        assert CliRunner().invoke(command(), ["data", "verify", str(store)]).exit_code == 0
    assert reads == ["store", "store"]
