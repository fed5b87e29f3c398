"""Untrusted archives: bounded, nothing is written outside the folder, one line per error."""

import gzip
import os
import signal
import stat
import struct
import subprocess
import sys
import tarfile
import time
import zipfile

import pytest
from data_hostile import pack, packed, png, refused

from dgunet.data.acquisition.importing import import_dataset
from dgunet.data.acquisition.unpacking import unpack
from dgunet.system.errors import ConfigError, DataError
from dgunet.system.leftovers import leftovers_below

# Names, types and links of members.


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../x.png", "outside its folder"),
        ("/tmp/x.png", "outside its folder"),
        ("a/b/../../../x.png", "outside its folder"),
        ("..\\x.png", "backslash"),
        ("C:/x.png", "drive letter"),
        ("n" * 300 + ".png", "too long for a file name"),
        ("a/" * 600 + "x.png", "too long for a file name"),
        ("a/" * 40 + "x.png", "deeper than 32 folders"),
        ("a\nb.png", "control character"),
    ],
)
def test_unsafe_file_names_in_an_archive_are_refused(kind, name, message, tmp_path):
    archive = packed(tmp_path, kind, {"Set11/1.png": png(), name: png()})
    reported = refused(message, archive, tmp_path, "Set11")
    assert "\n" not in reported
    assert len(reported) < 400


def test_a_tar_with_a_name_that_is_not_utf_8_is_refused(tmp_path):
    archive = packed(tmp_path, "tar", {"Set11/1.png": png(), "Set11/\udcff.png": png()})
    refused("is not UTF-8", archive, tmp_path, "Set11")


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("order", [1, -1])
def test_a_name_used_for_a_file_and_a_folder_is_refused(kind, order, tmp_path):
    names = ["Set11/1.png", "Set11/1.png/x.png"][::order]
    archive = packed(tmp_path, kind, dict.fromkeys(names, png()))
    refused("as a file and as a folder", archive, tmp_path, "Set11")


@pytest.mark.parametrize(
    "kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE], ids=["char", "block", "fifo"]
)
def test_devices_and_pipes_in_an_archive_are_refused(kind, tmp_path):
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as handle:
        entry = tarfile.TarInfo("Set11/9.png")
        entry.type = kind
        handle.addfile(entry)
    refused("a device or a pipe", archive, tmp_path, "Set11")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as handle:
        info = zipfile.ZipInfo("Set11/9.png")
        info.external_attr = (stat.S_IFIFO | 0o644) << 16
        handle.writestr(info, b"")
    refused("a device or a pipe", tmp_path / "a.zip", tmp_path, "Set11")


def links(tmp_path, *pairs):
    """A tar of Set11 with one image, followed by the given (type, name, link) entries."""
    archive = pack(tmp_path / "a.tar", {"Set11/1.png": png()})
    with tarfile.open(archive, "a") as handle:
        for kind, name, target in pairs:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, target
            handle.addfile(entry)
    return archive


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE], ids=["symbolic", "hard"])
def test_tar_links_that_lead_outside_are_refused(kind, tmp_path):
    for target in ("/etc/hostname", "../../../secret.png"):
        refused("outside", links(tmp_path, (kind, "Set11/2.png", target)), tmp_path, "Set11")


def test_a_member_is_never_written_through_a_link(tmp_path):
    """As in CVE-2025-4517: a link to a folder, and a member below it."""
    archive = links(tmp_path, (tarfile.SYMTYPE, "Set11/d", "."), (tarfile.SYMTYPE, "e", "Set11/d"))
    with tarfile.open(archive, "a") as handle:
        handle.addfile(tarfile.TarInfo("e/x.png"))
    refused("as a file and as a folder", archive, tmp_path, "Set11")


def test_links_to_images_become_files(tmp_path):
    archive = links(
        tmp_path,
        (tarfile.SYMTYPE, "Set11/2.png", "3.png"),
        (tarfile.SYMTYPE, "Set11/3.png", "../Set11/1.png"),
        (tarfile.LNKTYPE, "Set11/4.png", "Set11/1.png"),
        (tarfile.SYMTYPE, "Set11/5.png", "6.png"),
        (tarfile.SYMTYPE, "Set11/6.png", "5.png"),
    )
    folder = import_dataset("Set11", archive, tmp_path / "root").folder
    assert sorted(p.name for p in folder.iterdir()) == ["1.png", "2.png", "3.png", "4.png"]
    assert all(p.read_bytes() == png() and not p.is_symlink() for p in folder.iterdir())


# Limits.


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_too_many_folders_in_an_archive_are_refused_before_anything_is_written(kind, tmp_path):
    members = {f"{number}/1.png": b"" for number in range(30_000)}
    archive = packed(tmp_path, kind, members)
    reported = refused("holds more than 10,000 folders", archive, tmp_path, "Set11")
    assert "DGUNET_MAX_FOLDERS" in reported


def test_too_many_folders_on_disk_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("DGUNET_MAX_FOLDERS", "300")
    for number in range(400):
        (tmp_path / f"given/{number}").mkdir(parents=True)
    refused("holds more than 300 folders", tmp_path / "given", tmp_path, "Set11")
    (tmp_path / "loop").mkdir()
    for number in range(30):
        (tmp_path / f"loop/{number}").symlink_to(".")
    refused("holds more than 300 folders", tmp_path / "loop", tmp_path, "Set11")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_the_number_of_entries_is_limited_and_the_limit_can_be_raised(kind, tmp_path, monkeypatch):
    archive = packed(tmp_path, kind, {f"Set11/{n}.png": png(colour=(n, 0, 0)) for n in range(20)})
    monkeypatch.setenv("DGUNET_MAX_ENTRIES", "10")
    assert "DGUNET_MAX_ENTRIES" in refused("more than 10 entries", archive, tmp_path, "Set11")
    monkeypatch.setenv("DGUNET_MAX_ENTRIES", "20")
    assert import_dataset("Set11", archive, tmp_path / "root").pairs == 20
    monkeypatch.setenv("DGUNET_MAX_ENTRIES", "many")
    with pytest.raises(ConfigError, match="DGUNET_MAX_ENTRIES is 'many'"):
        import_dataset("Set11", archive, tmp_path / "other")


def test_a_zip_index_that_is_too_long_is_not_read(tmp_path, monkeypatch):
    archive = packed(tmp_path, "zip", {f"{'x' * 200}{n}.png": b"" for n in range(100)})
    monkeypatch.setenv("DGUNET_MAX_ENTRIES", "50")
    monkeypatch.setattr(zipfile.ZipFile, "__init__", lambda *_, **__: pytest.fail("was read"))
    with pytest.raises(DataError, match="more than 50 entries"):
        unpack(archive, tmp_path)


@pytest.mark.parametrize("raised", [False, True])
def test_a_zip_bomb_is_refused_by_its_declared_size(raised, tmp_path, monkeypatch):
    archive = packed(tmp_path, "zip", {"Set11/1.png": png()})
    content = bytearray(archive.read_bytes())
    at = content.find(b"PK\x01\x02") + 24
    content[at : at + 4] = (1_500_000_000).to_bytes(4, "little")
    archive.write_bytes(content)
    if raised:
        monkeypatch.setenv("DGUNET_MAX_UNPACKED_GB", "2")
        assert import_dataset("Set11", archive, tmp_path / "root").pairs == 1
        return
    reported = refused(r"unpacks to more than 1 GB", archive, tmp_path, "Set11")
    assert "DGUNET_MAX_UNPACKED_GB" in reported


@pytest.mark.parametrize("name", ["Set11/a.png", "not-of-a-set.bin"])
def test_a_compressed_tar_is_read_only_up_to_the_limit(name, tmp_path, monkeypatch):
    monkeypatch.setattr("dgunet.data.acquisition.unpacking.unpacked_limit", lambda size: 5_000_000)
    archive = packed(tmp_path, "tar.gz", {name: bytes(40_000_000)})
    refused(r"unpacks to more than 0\.005 GB", archive, tmp_path, "Set11")


def test_zeros_after_the_end_of_a_tar_are_read_only_up_to_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("dgunet.data.acquisition.unpacking.unpacked_limit", lambda size: 5_000_000)
    archive = packed(tmp_path, "tar", {"Set11/1.png": png()})
    with gzip.open(tmp_path / "b.tar.gz", "wb", compresslevel=1) as handle:
        handle.write(archive.read_bytes())
        handle.write(bytes(60_000_000))
    refused("unpacks to more than", tmp_path / "b.tar.gz", tmp_path, "Set11")


def test_a_tar_header_that_claims_gigabytes_is_refused(tmp_path):
    entry = tarfile.TarInfo("x")
    entry.type, entry.size = tarfile.XHDTYPE, 4 << 30
    archive = tmp_path / "a.tar"
    archive.write_bytes(png() and entry.tobuf() + bytes(10_240))
    refused("neither a folder nor a zip or tar|is damaged", archive, tmp_path, "Set11")


@pytest.mark.parametrize("position", range(0, 400, 7))
def test_a_changed_byte_in_an_index_raises_only_data_errors(position, tmp_path):
    for kind in ("zip", "tar"):
        archive = packed(tmp_path, kind, {"Set11/é.png": png(), "Set11/2.png": png()})
        content = bytearray(archive.read_bytes())
        at = len(content) - 1 - position if kind == "zip" else position
        content[at] ^= 0xA5
        archive.write_bytes(content)
        folder = tmp_path / kind
        folder.mkdir()
        try:
            unpack(archive, folder)
        except DataError as error:
            assert "\n" not in str(error)


def test_a_pipe_is_refused_as_an_archive(tmp_path):
    os.mkfifo(tmp_path / "a.zip")
    refused("is not a regular file", tmp_path / "a.zip", tmp_path, "Set11")


# Killed imports.

STOPPED = """
import sys, time
from pathlib import Path
from dgunet.data.acquisition import importing

def stop(*_, **__):
    print("ready", flush=True)
    time.sleep(600)

importing.{hook} = stop
importing.import_dataset("Set11", Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.parametrize("hook", ["find_dataset", "inside"])
@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_leftovers_of_a_killed_import_are_removed_by_the_next_import(
    hook, kind, sample_root, tmp_path
):
    source, root = sample_root / "test", tmp_path / "root"
    if kind == "zip":
        images = (sample_root / "test/Set11").iterdir()
        source = packed(tmp_path, "zip", {f"Set11/{p.name}": p.read_bytes() for p in images})
    command = [sys.executable, "-c", STOPPED.format(hook=hook), str(source), str(root)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    with pytest.raises(DataError, match="unknown dataset"):
        import_dataset("nothing", source, root)
    active = [left.path for left in leftovers_below(root)]
    import_dataset("BSD68", sample_root, root)
    assert [left.path for left in leftovers_below(root)] == active, "the process is still running"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert bool(active) == (kind == "zip" or hook == "inside")
    assert import_dataset("Set11", source, root).pairs == 3
    assert list(leftovers_below(root)) == []
    assert sorted(path.name for path in root.iterdir()) == ["test"]


def test_the_search_time_is_linear_in_the_number_of_folders(tmp_path):
    """A search of quadratic time would take minutes."""
    for number in range(3000):
        (tmp_path / f"given/{number}/RealBlur").mkdir(parents=True)
    start = time.process_time()
    refused("there is no list", tmp_path / "given", tmp_path)
    assert time.process_time() - start < 60


@pytest.mark.parametrize("shift", [1, 40, 100_000, -20])
@pytest.mark.parametrize("local", [0, 7, 2**31])
def test_a_zip_with_wrong_offsets_in_its_index_is_refused(tmp_path, shift, local):
    """Including offsets before the start, for which the system reports an invalid argument."""
    path = packed(tmp_path, "zip", {"input/1.png": png(), "target/1.png": png()})
    content = bytearray(path.read_bytes())
    index, end = content.index(b"PK\1\2"), content.rindex(b"PK\5\6")
    (position,) = struct.unpack_from("<I", content, end + 16)
    struct.pack_into("<I", content, end + 16, position + shift)
    struct.pack_into("<I", content, index + 42, local)
    path.write_bytes(content)
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match="is damaged"):
        unpack(path, tmp_path / "out")
