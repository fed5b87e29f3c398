"""Archives: how much they need, and unpacking them without leaving the folder."""

from __future__ import annotations

import shutil
import stat
import tarfile
import zipfile
import zlib
from lzma import LZMAError
from pathlib import Path

from dgunet.errors import DataError, DgunetError


def check_space(need: int, folder: Path, shown: Path) -> None:
    """Refuse before starting what the disk of ``folder`` cannot hold.

    Raises:
        DgunetError: names ``shown``, and how much is free.
    """
    free = shutil.disk_usage(folder).free
    if need > free:
        raise DgunetError(
            f"{shown} needs {need / 1e9:.1f} GB and the disk has {free / 1e9:.1f} GB free.",
            "Free some space, or choose another --root.",
        )


def unpacked_bytes(archive: Path) -> int:
    """Of a zip; of a tar, which has no index, what it takes itself."""
    try:
        with zipfile.ZipFile(archive) as handle:
            return sum(member.file_size for member in handle.infolist())
    except (zipfile.BadZipFile, OSError):
        return archive.stat().st_size


_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, LZMAError)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar archive into an empty folder, refusing what would leave it.

    Raises:
        DataError: for another kind of file, a damaged or locked one, or one that reaches outside.
    """
    try:
        if zipfile.is_zipfile(archive):
            _unpack_zip(archive, folder)
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as handle:
                handle.extractall(folder, filter="data")
                while handle.fileobj and handle.fileobj.read(1 << 20):
                    pass  # the compression's check sum stands behind the end of the archive
        else:
            raise DataError(
                f"{archive} is neither a folder nor a zip or tar archive.",
                "Unpack it yourself and name the folder.",
            )
    except tarfile.FilterError as error:
        raise DataError(
            f"{archive} holds a file that would be written outside its folder ({error}).",
            "Do not use this archive.",
        ) from error
    except (*_DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk, not the archive
            raise
        raise DataError(
            f"{archive} is damaged ({error}).", "Bring it again; it may be cut off."
        ) from error
    except RuntimeError as error:  # a password, or a way of packing that Python does not know
        raise DataError(
            f"{archive} cannot be unpacked here ({error}).",
            "Unpack it yourself and name the folder.",
        ) from error


def _unpack_zip(archive: Path, folder: Path) -> None:
    home = folder.resolve()
    with zipfile.ZipFile(archive) as handle:
        for member in handle.infolist():
            link = stat.S_ISLNK(member.external_attr >> 16)
            place = (folder / member.filename).resolve()
            if link or not place.is_relative_to(home):
                raise DataError(
                    f"{archive} holds {member.filename!r}, which would be written outside its"
                    " folder.",
                    "Do not use this archive.",
                )
        handle.extractall(folder)
