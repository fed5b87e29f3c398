"""Editable copies of sample datasets, small disks and prepared stores."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from data_disks import mount

from dgunet.data.store.prepare import prepare_dataset


@pytest.fixture
def editable_copy(sample_root, tmp_path):
    """A function that copies one sample folder, e.g. ``test/Rain100H``; gives the new root."""

    def copy(folder):
        target = tmp_path / "root" / folder
        shutil.copytree(sample_root / folder, target)
        for path in target.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        return tmp_path / "root"

    return copy


@pytest.fixture
def disk(tmp_path):
    """A function that mounts an empty disk of the given size in kilobytes; gives its folder."""
    folder = tmp_path / "a small disk"
    mounted = []

    def new(kilobytes):
        folder.mkdir()
        mount("-t", "tmpfs", "-o", f"size={kilobytes}k,nr_inodes=1000", "tmpfs", str(folder))
        mounted.append(folder)
        return folder

    yield new
    for mount_point in mounted:
        subprocess.run(["umount", "--lazy", str(mount_point)], check=True)


@pytest.fixture(scope="session")
def prepared(sample_root, tmp_path_factory):
    """A function that prepares a sample dataset once; gives the folder of its store."""
    base = tmp_path_factory.mktemp("prepared")

    def store(name):
        folder = base / name
        if not folder.is_dir():
            prepare_dataset(name, sample_root, folder, profile="sample")
        return folder

    return store


@pytest.fixture(scope="session")
def benchmarks():
    """The folder of real benchmark images that DGUNET_BENCHMARKS names."""
    named = os.environ.get("DGUNET_BENCHMARKS")
    if not named or not Path(named).is_dir():
        pytest.skip("needs real benchmark images: set DGUNET_BENCHMARKS to their folder")
    return Path(named)
