"""Real small and read-only disks: nothing half-written stays, and the message names the folder."""

import os
import shutil
import subprocess

import pytest

from dgunet.data.importing import import_dataset
from dgunet.data.prepare import prepare_dataset
from dgunet.data.store import PairStore
from dgunet.errors import DataError, DgunetError


@pytest.fixture
def disk(tmp_path):
    """A function that mounts a disk of so many KiB, or a read-only one."""
    mounted = []

    def mount(options):
        folder = tmp_path / "a disk"
        folder.mkdir()
        if os.geteuid() or shutil.which("mount") is None:
            pytest.skip("only root mounts disks")
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("this machine lets nobody mount")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_read_only_disk_is_named(disk, sample_root):
    folder = disk("ro,size=64m")
    with pytest.raises(DgunetError, match="a disk") as error:
        prepare_dataset("Rain100H", sample_root, folder / "store", profile="sample")
    assert error.value.mend
    with pytest.raises(DgunetError, match="a disk"):
        import_dataset("Rain100H", sample_root / "test/Rain100H", folder / "root")


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(disk, sample_root):
    folder = disk("size=100k")
    with pytest.raises(DgunetError, match="free"):
        import_dataset("Rain100H", sample_root / "test/Rain100H", folder / "root")
    with pytest.raises(DgunetError, match="free"):
        prepare_dataset("Rain100H", sample_root, folder / "store", profile="sample")
    assert not list(folder.rglob("*.arrow"))
    assert not list(folder.rglob("*.png"))
    with pytest.raises(DataError, match="not a prepared store"):
        PairStore.open(folder / "store")
