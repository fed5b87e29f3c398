"""Files are complete or absent after kills, on full disks and in read-only folders."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from dgunet.system.errors import DgunetError
from dgunet.system.files import atomic_folder, atomic_path, tree_digest, write_bytes, write_json


@contextmanager
def mounted(folder, options):
    """Mount a small memory file system at ``folder``; skip the test without permission."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("this user may not mount a file system to fill")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_reported_and_the_old_file_is_kept(tmp_path):
    with mounted(tmp_path / "small", "size=64k") as disk:
        write_bytes(disk / "kept.bin", b"old")
        with pytest.raises(DgunetError, match=r"cannot write .*kept.bin: the disk is full"):
            write_bytes(disk / "kept.bin", bytes(1_000_000))
        assert (disk / "kept.bin").read_bytes() == b"old"
        assert [path.name for path in disk.iterdir()] == ["kept.bin"]


def test_a_read_only_folder_is_reported(tmp_path):
    with (
        mounted(tmp_path / "fixed", "size=64k,ro") as disk,
        pytest.raises(DgunetError, match="read-only"),
    ):
        write_json(disk / "results" / "a.json", {})


def test_a_killed_writer_keeps_the_old_file(tmp_path):
    path = tmp_path / "weights.bin"
    write_bytes(path, b"old")
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from dgunet.system.files import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as part:\n"
        "    part.write_bytes(b'half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_files_have_the_permissions_of_the_umask(tmp_path, mask):
    """Even if a library creates the file for its owner only, as safetensors does."""
    before = os.umask(mask)
    try:
        with atomic_path(tmp_path / "weights.bin") as part:
            part.touch(0o600)
    finally:
        os.umask(before)
    (made,) = tmp_path.iterdir()
    assert made.stat().st_mode & 0o777 == 0o666 & ~mask


def test_an_error_while_writing_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "a.txt") as part:
        part.write_text("half")
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "b") as part:
        (part / "half.txt").write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    for content in ("old", "new"):
        with atomic_folder(tmp_path / "store") as part:
            (part / f"{content}.txt").write_text(content)
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["new.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_tree_digest_depends_on_names_and_content_only(tmp_path):
    def tree(name, files):
        for path, content in files.items():
            write_bytes(tmp_path / name / path, content)
        return tree_digest(tmp_path / name)

    same = tree("a", {"x/1": b"1", "y": b"2"})
    os.utime(tmp_path / "a" / "y", (0, 0))
    assert tree_digest(tmp_path / "a") == same
    assert tree("b", {"y": b"2", "x/1": b"1"}) == same
    assert tree("c", {"x/2": b"1", "y": b"2"}) != same
    assert tree("d", {"x/1": b"1", "y": b"3"}) != same
