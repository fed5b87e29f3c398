"""Malicious archives and images."""

import io
import struct
import tarfile
import zipfile
import zlib

import pytest
from PIL import Image

from dgunet.data.acquisition.importing import import_dataset
from dgunet.system.errors import DataError
from dgunet.system.leftovers import leftovers_below

SCENE = "RealBlur/RealBlur-J_ECC_IMCORR_centroid_itensity_ref/scene001"
LIST = "RealBlur/RealBlur_J_test_list.txt"


def png(size=(16, 16), colour=(9, 9, 9)):
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, "PNG")
    return stream.getvalue()


def claiming(width, height):
    """A PNG of a few bytes whose header claims the given size."""

    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    ends = chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + ends


def pack(path, members, mode=0o644):
    """Write a zip or tar, chosen by the suffix of ``path``, of {name: bytes}; gives the path."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as handle:
            for name, content in members.items():
                entry = zipfile.ZipInfo(name)
                entry.external_attr = (0o100000 | mode) << 16
                handle.writestr(entry, content)
        return path
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as handle:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            handle.addfile(entry, io.BytesIO(content))
    return path


def realblur(list_text, **more):
    """The members of an archive of one RealBlur pair with the given list."""
    content = list_text if isinstance(list_text, bytes) else list_text.encode()
    return {
        LIST: content,
        f"{SCENE}/gt/gt_1.png": png(),
        f"{SCENE}/blur/blur_1.png": png(),
        **more,
    }


def tree(folder):
    """Every file below ``folder``."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir())


def packed(tmp_path, kind, members, **options):
    """Pack an archive of type ``kind`` with `pack`; gives its path."""
    path = tmp_path / "given" / f"archive.{kind}"
    path.parent.mkdir(exist_ok=True)
    return pack(path, members, **options)


def refused(message, source, tmp_path, name="RealBlur-J"):
    """Import must fail with this message and leave no file; gives the whole message."""
    root = tmp_path / "project" / "data" / "paper"
    with pytest.raises(DataError, match=message) as caught:
        import_dataset(name, source, root)
    assert tree(tmp_path / "project") == []
    assert list(leftovers_below(root)) == []
    return str(caught.value)
