"""Disks that are too small, fill up or are read-only, as small tmpfs mounts."""

import os
import shutil
from pathlib import Path

import pytest
from data_disks import fill, read_only
from data_web import Site, serve
from PIL import Image

from dgunet.data.acquisition.fetching import fetch_dataset
from dgunet.data.acquisition.importing import import_dataset
from dgunet.data.catalogue.entries import dataset
from dgunet.data.readers.folder_layouts import read_pairs
from dgunet.data.store.pair_store import PairStore
from dgunet.data.store.prepare import prepare_dataset
from dgunet.system.errors import DgunetError


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_work_that_needs_more_than_the_free_space_is_not_started(sample_root, disk):
    folder = disk(64)
    out, seen = folder / "s", []
    with pytest.raises(DgunetError, match=r"needs at least 0\.0 GB .* Free some space"):
        prepare_dataset(
            "Test100", sample_root, out, profile="sample", observe=lambda *n: seen.append(n)
        )
    assert seen == []
    assert [path.name for path in folder.iterdir()] == [".s.lock"]
    with pytest.raises(DgunetError, match=r"the disk has .* Free some space"):
        import_dataset("Test100", sample_root, folder / "root")
    assert [path for path in folder.rglob("*") if path.is_file()] == [folder / ".s.lock"]


def test_the_compact_layout_fits_where_raw_pixels_do_not(sample_root, disk):
    folder = disk(1000)
    settings = {"profile": "sample", "workers": 1}
    with pytest.raises(DgunetError, match=r"at least 0\.0 GB"):
        prepare_dataset("Rain13K", sample_root, folder / "s", **settings)
    prepare_dataset("Rain13K", sample_root, folder / "s", layout="compact", **settings)
    PairStore.open(folder / "s").verify()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_preparation_interrupted_by_a_full_disk_resumes_when_there_is_space(
    sample_root, tmp_path, disk, workers
):
    folder = disk(3000)
    out = folder / "s"
    settings = {"profile": "sample", "workers": workers, "shard_bytes": 150_000}

    def observe(done, total):
        if done >= 8 and not (folder / "ballast").exists():
            fill(folder)

    with pytest.raises(DgunetError, match=r"the disk is full.* run the same command again"):
        prepare_dataset("Rain13K", sample_root, out, observe=observe, **settings)
    assert not out.exists()
    assert not list(folder.rglob("*.partial*"))
    # A shard counts once its note exists; the disk may have been full between the two.
    finished = len(list((folder / ".s.work").glob("*.json")))
    assert finished >= 1
    (folder / "ballast").unlink()

    seen = []
    settings["workers"] = 1
    prepare_dataset(
        "Rain13K", sample_root, out, observe=lambda done, total: seen.append(done), **settings
    )
    assert len(seen) <= 24 - 2 * finished, "every shard has at least two pairs"
    PairStore.open(out).verify()
    prepare_dataset("Rain13K", sample_root, tmp_path / "elsewhere", **settings)
    assert content(out) == content(tmp_path / "elsewhere")


def test_finished_shards_are_kept_if_the_disk_is_too_small_to_resume(sample_root, disk):
    folder = disk(3000)
    settings = {"profile": "sample", "workers": 1, "shard_bytes": 150_000}

    def observe(done, total):
        if done == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_dataset("Rain13K", sample_root, folder / "s", observe=observe, **settings)
    finished = content(folder / ".s.work")
    fill(folder)
    with pytest.raises(DgunetError, match="Free some space"):
        prepare_dataset("Rain13K", sample_root, folder / "s", **settings)
    assert content(folder / ".s.work") == finished


def test_a_read_only_disk_is_reported(sample_root, disk):
    folder = disk(3000)
    prepare_dataset("Set11", sample_root, folder / "s", profile="sample")
    before = content(folder / "s")
    with read_only(folder):
        for act in (
            lambda: prepare_dataset("Set11", sample_root, folder / "s", profile="sample"),
            lambda: prepare_dataset("Set11", sample_root, folder / "new/s", profile="sample"),
            lambda: import_dataset("Set11", sample_root, folder / "root"),
            lambda: fetch_dataset("Set11", [str(sample_root)], folder / "root", folder / "d"),
        ):
            with pytest.raises(DgunetError, match=r"a small disk.*read-only.*Choose a folder"):
                act()
    assert content(folder / "s") == before


def test_an_import_interrupted_by_a_full_disk_leaves_nothing(tmp_path, disk):
    for half in ("input", "target"):
        (tmp_path / "in/Test100" / half).mkdir(parents=True)
        for number in range(40):
            path = tmp_path / "in/Test100" / half / f"{number}.png"
            Image.new("RGB", (8, 8)).save(path)
    folder = disk(128)  # the bytes fit, but every file occupies a page
    with pytest.raises(DgunetError, match="the disk is full"):
        import_dataset("Test100", tmp_path / "in", folder / "root")
    assert [path for path in (folder / "root").rglob("*") if path.is_file()] == []
    archive = shutil.make_archive(str(tmp_path / "a"), "zip", tmp_path / "in")
    with pytest.raises(DgunetError, match="the disk is full"):
        import_dataset("Test100", Path(archive), folder / "root")
    assert [path for path in (folder / "root").rglob("*") if path.is_file()] == []


def test_a_download_interrupted_by_a_full_disk_resumes_when_there_is_space(
    sample_root, tmp_path, disk
):
    archive = shutil.make_archive(str(tmp_path / "a"), "zip", sample_root / "test", "Test100")
    folder = disk(3000)
    with serve(Site(Path(archive).read_bytes(), length=False)) as server:
        fill(folder)
        os.truncate(folder / "ballast", (folder / "ballast").stat().st_size - 40_000)
        with pytest.raises(DgunetError, match="the disk is full"):
            fetch_dataset("Test100", [server.url], tmp_path / "root", folder / "d")
        assert not (tmp_path / "root").exists()
        (folder / "ballast").unlink()
        fetch_dataset("Test100", [server.url], tmp_path / "root", folder / "d")
        assert len(read_pairs(dataset("Test100"), tmp_path / "root")) == 3
