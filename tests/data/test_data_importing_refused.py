"""Imports that are refused or interrupted leave nothing behind."""

import io
import shutil
import signal
import subprocess
import sys
import tarfile
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dgunet.data.acquisition.importing import import_dataset
from dgunet.data.catalogue.entries import dataset
from dgunet.data.readers.folder_layouts import read_pairs
from dgunet.data.store.prepare import prepare_dataset
from dgunet.system.errors import DataError, DgunetError


def test_an_image_without_counterpart_is_reported_and_nothing_is_imported(editable_copy, tmp_path):
    root = editable_copy("test/Rain100H")
    (root / "test/Rain100H/target/2.png").unlink()
    archive = shutil.make_archive(str(tmp_path / "a"), "zip", root)
    with pytest.raises(DataError, match=r"a\.zip/test/Rain100H/input/2\.png has no clean target"):
        import_dataset("Rain100H", tmp_path / archive, tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())


def test_different_sizes_are_reported_before_anything_is_copied(editable_copy, tmp_path):
    root = editable_copy("test/Rain100H")
    path = root / "test/Rain100H/target/2.png"
    with Image.open(path) as image:
        image.crop((0, 0, 96, 88)).save(path)
    archive = shutil.make_archive(str(tmp_path / "a"), "zip", root)
    with pytest.raises(DataError, match=r"a\.zip/test/Rain100H/input/2\.png is 128x96 .* 96x88"):
        import_dataset("Rain100H", Path(archive), tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())


def test_an_existing_dataset_is_not_replaced(sample_root, tmp_path):
    import_dataset("Set11", sample_root, tmp_path)
    with pytest.raises(DataError, match="already exists"):
        import_dataset("Set11", sample_root, tmp_path)


@pytest.mark.parametrize("member", ["../evil.png", "/tmp/dgunet-evil.png", "a/../../evil.png"])
def test_a_zip_with_names_outside_its_folder_is_refused(tmp_path, member):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as handle:
        handle.writestr(member, b"x")
    with pytest.raises(DataError, match="outside its folder"):
        import_dataset("Set11", tmp_path / "a.zip", tmp_path / "data")
    assert not list(tmp_path.rglob("evil.png"))


def test_a_zip_with_a_link_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as handle:
        entry = zipfile.ZipInfo("Set11/camera.tif")
        entry.external_attr = 0o120777 << 16
        handle.writestr(entry, "/etc/hostname")
    with pytest.raises(DataError, match="outside its folder"):
        import_dataset("Set11", tmp_path / "a.zip", tmp_path / "data")


@pytest.mark.parametrize("member", ["../evil.png", "/abs/evil.png", "link"])
def test_a_tar_with_names_outside_its_folder_is_refused(tmp_path, member):
    with tarfile.open(tmp_path / "a.tar", "w") as handle:
        entry = tarfile.TarInfo(member)
        if member == "link":
            entry.type, entry.linkname = tarfile.SYMTYPE, "../../evil.png"
            handle.addfile(entry)
        else:
            entry.size = 1
            handle.addfile(entry, io.BytesIO(b"x"))
    with pytest.raises(DataError):
        import_dataset("Set11", tmp_path / "a.tar", tmp_path / "data")
    assert not list(tmp_path.rglob("evil.png"))


def test_a_link_that_points_outside_the_folder_is_refused(sample_root, tmp_path):
    secret = tmp_path / "secret.png"
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(secret)
    shutil.copytree(sample_root / "test/BSD68", tmp_path / "in" / "BSD68")
    (tmp_path / "in/BSD68/test004.png").symlink_to(secret)
    with pytest.raises(DataError, match=r"test004\.png is a link that points outside"):
        import_dataset("BSD68", tmp_path / "in", tmp_path / "data")
    assert not (tmp_path / "data" / "test").exists()


def test_damaged_archives_and_other_files_are_refused(sample_root, tmp_path):
    archive = tmp_path / shutil.make_archive(
        str(tmp_path / "a"), "gztar", sample_root / "test/Set11"
    )
    archive.write_bytes(archive.read_bytes()[:2000])
    with pytest.raises(DataError, match="is damaged"):
        import_dataset("Set11", archive, tmp_path / "data")
    (tmp_path / "b.rar").write_bytes(b"Rar!")
    with pytest.raises(DataError, match="neither a folder nor a zip or tar"):
        import_dataset("Set11", tmp_path / "b.rar", tmp_path / "data")
    with pytest.raises(DataError, match="does not exist"):
        import_dataset("Set11", tmp_path / "nowhere", tmp_path / "data")


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar", "bztar", "xztar"])
def test_an_archive_with_changed_bytes_is_refused(kind, sample_root, tmp_path):
    name = shutil.make_archive(str(tmp_path / "a"), kind, sample_root / "test", "Set11")
    archive = Path(name)
    content = bytearray(archive.read_bytes())
    for position in range(600, len(content) - 600, 200):
        content[position] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(DataError):  # a plain tar has no checksums: preparation fails
        import_dataset("Set11", archive, tmp_path / "data")
        prepare_dataset("Set11", tmp_path / "data", tmp_path / "store", profile="sample")
    assert kind == "tar" or not list((tmp_path / "data").iterdir())


def test_an_encrypted_zip_is_reported(sample_root, tmp_path):
    archive = Path(shutil.make_archive(str(tmp_path / "a"), "zip", sample_root / "test", "Set11"))
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as handle:
        entries = [m for m in handle.infolist() if m.filename.endswith(".tif")]
    for entry in entries:
        content[entry.header_offset + 6] |= (
            1  # the encryption flag, in the local header and the index
        )
    position = content.find(b"PK\x01\x02")
    while position >= 0:
        content[position + 8] |= 1
        position = content.find(b"PK\x01\x02", position + 1)
    archive.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.zip cannot be unpacked here .* Unpack it yourself"):
        import_dataset("Set11", archive, tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())


def test_a_zip_larger_than_the_free_space_is_not_unpacked(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as handle:
        handle.writestr("Set11/a.tif", bytes(5_000_000))
    small = shutil.disk_usage(tmp_path)._replace(free=4_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: small)
    with pytest.raises(DgunetError, match="free"):
        import_dataset("Set11", tmp_path / "a.zip", tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())


KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from dgunet.data.acquisition.importing import import_dataset

copy, copied = shutil.copyfile, []

def copyfile(*arguments):
    if len(copied) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    copied.append(copy(*arguments))

shutil.copyfile = copyfile
import_dataset("Rain100H", Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_a_killed_import_leaves_no_dataset(sample_root, tmp_path):
    command = [sys.executable, "-c", KILLED, str(sample_root), str(tmp_path)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    (left,) = (tmp_path / "test").iterdir()
    assert fnmatch(left.name, ".*.partial"), "the pattern of .dvcignore"
    with pytest.raises(DataError, match="Rain100H is not under"):
        read_pairs(dataset("Rain100H"), tmp_path)
    assert import_dataset("Rain100H", sample_root, tmp_path).pairs == 3


def test_only_one_of_two_concurrent_imports_succeeds(sample_root, tmp_path, monkeypatch):
    copy = shutil.copyfile

    def copyfile(source, position):
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "copyfile", copy)
            if not (tmp_path / "test/Set11").exists():
                import_dataset("Set11", sample_root, tmp_path)
        return copy(source, position)

    monkeypatch.setattr(shutil, "copyfile", copyfile)
    with pytest.raises(DataError, match="already exists"):
        import_dataset("Set11", sample_root, tmp_path)
    assert [path.name for path in (tmp_path / "test").iterdir()] == ["Set11"]
    assert len(read_pairs(dataset("Set11"), tmp_path)) == 3
