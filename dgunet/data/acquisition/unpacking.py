"""Archives: how much they need, and unpacking them without leaving the folder.

Only files that a set can consist of are unpacked, as plain files with the rights of any new file:
no links, nothing executable, nothing hidden. Before any is written, all names and sizes are judged:
of a zip by its index, of a tar, which has none, by reading it twice.
"""

from __future__ import annotations

import errno
import shutil
import stat
import tarfile
import zipfile
import zlib
from lzma import LZMAError
from pathlib import Path, PurePosixPath

from dgunet.data.acquisition.members import Members, is_hidden
from dgunet.data.acquisition.tars import Link, open_tar
from dgunet.data.readers.images import SUFFIXES
from dgunet.data.readers.limits import unpacked_limit
from dgunet.system.errors import DataError, DgunetError
from dgunet.system.reading import shorten

TAKEN = SUFFIXES | {".mat", ".txt"}
"""What a set consists of: pictures, MATLAB files and lists."""

_CHUNK = 1 << 20
_TAIL = 65_557 + 76
"""Where the end of a zip's index may stand: a comment of 64 kB, and a second record before it."""
_ENTRY_BYTES = 300
"""An entry of a zip's index takes at most so many, long names apart."""


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


def is_archive(path: Path) -> bool:
    """Whether ``path`` is a zip or tar archive, by its content; a damaged one may be none."""
    if not path.is_file():
        return False
    try:
        if zipfile.is_zipfile(path):
            return True
        with open_tar(path, unpacked_limit(path.stat().st_size)):
            return True
    except (*_DAMAGE, *_ODD, OSError, DataError):
        return False


_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, LZMAError)
_ODD = (ValueError, OverflowError, KeyError, IndexError, TypeError, AttributeError)
"""What the libraries raise over numbers and names in an index that make no sense."""


def unpack(archive: Path, folder: Path) -> None:
    """Unpack the files of a zip or tar archive that a set can consist of into an empty folder.

    Raises:
        DataError: for another kind of file, a damaged or locked one, one that reaches outside,
            holds devices or pipes, or is larger than `dgunet.data.readers.limits` allow.
        DgunetError: if the disk cannot hold it.
    """
    if not archive.is_file():
        raise DataError(f"{archive} is not a regular file.", "Name an archive or a folder.")
    try:
        if zipfile.is_zipfile(archive):
            _unpack_zip(archive, folder)
        else:
            _unpack_tar(archive, folder)
    except tarfile.FilterError as error:
        raise DataError(
            f"{archive} holds a file that would be written outside its folder ({error}).",
            "Do not use this archive.",
        ) from error
    except (*_DAMAGE, *_ODD, OSError) as error:
        # The disk and not the archive; but a damaged offset in a zip is an invalid argument.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
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
    members = Members(archive)
    members.check_index(_index_bytes(archive) // _ENTRY_BYTES)
    with zipfile.ZipFile(archive) as handle:
        taken: list[tuple[zipfile.ZipInfo, str]] = []
        for info in handle.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind == stat.S_IFLNK:
                raise members.outside(info.filename)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise members.special(info.filename)
            name = members.add(info.filename, is_folder=info.is_dir())
            if name and not info.is_dir() and _is_taken(name):
                taken.append((info, name))
        need = sum(info.file_size for info, _ in taken)
        if need > (most := unpacked_limit(archive.stat().st_size)):
            raise members.too_large(most)
        check_space(need, folder, archive)
        place = _Places(folder, most)
        for info, name in taken:
            with handle.open(info) as source, place(name).open("wb") as target:
                shutil.copyfileobj(source, target, _CHUNK)


def _unpack_tar(archive: Path, folder: Path) -> None:
    most = unpacked_limit(archive.stat().st_size)
    members, place = Members(archive), _Places(folder, most)
    with open_tar(archive, most) as handle:  # once for the names and sizes, before any is written
        for info in handle:
            if not (info.isreg() or info.isdir() or info.issym() or info.islnk()):
                raise members.special(info.name)
            members.add(info.name, is_folder=info.isdir())
            tarfile.data_filter(info, str(folder))
            place.room -= info.size
            if place.room < 0:
                raise members.too_large(most)
        while handle.fileobj and handle.fileobj.read(_CHUNK):
            pass  # the compression's check sum stands behind the end of the archive
    check_space(most - place.room, folder, archive)
    links: list[Link] = []
    with open_tar(archive, most) as handle:
        for info in handle:
            name = PurePosixPath(info.name).as_posix()
            if info.isdir() or not _is_taken(name):
                continue
            if info.issym() or info.islnk():
                links.append(Link(name, info.linkname, relative=info.issym()))
                continue
            source = handle.extractfile(info)
            assert source is not None  # a regular file has content
            with source, place(name).open("wb") as target:
                shutil.copyfileobj(source, target, _CHUNK)
    _copy_links(links, members, place, most)


def _copy_links(links: list[Link], members: Members, place: _Places, most: int) -> None:
    """Put a copy of what a link names in its place; links to what is not there are left out."""
    named = {link.name: link.target for link in links}
    for link in links:
        target: str | None = link.name
        for _ in range(40):  # as the kernel does
            if target is None or target not in named:
                break
            target = named[target]
        if target is None:
            raise members.outside(link.name)
        source = place.folder / target
        if source.is_dir():
            raise DataError(
                f"{members.archive} holds {shorten(link.name)}, which is a link to a folder.",
                "Unpack it yourself and name the folder.",
            )
        if source.is_file():
            place.room -= source.stat().st_size
            if place.room < 0:
                raise members.too_large(most)
            shutil.copyfile(source, place(link.name))


class _Places:
    """Where members go in a folder that nothing but this unpacking writes to.

    Attributes:
        folder: to unpack to.
        room: bytes that may still be written.
    """

    def __init__(self, folder: Path, room: int) -> None:
        self.folder, self.room = folder, room
        self._made = {folder}

    def __call__(self, name: str) -> Path:
        """The path of a member that `Members` has checked, its folder made."""
        path = self.folder / name
        if path.parent not in self._made:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(path.parent)
        return path


def _index_bytes(archive: Path) -> int:
    """The length of a zip's index as the record at its end says; 0 if there is none."""
    with archive.open("rb") as handle:
        handle.seek(max(0, archive.stat().st_size - _TAIL))
        tail = handle.read()
    end = tail.rfind(b"PK\5\6")
    if end < 0 or len(tail) < end + 16:
        return 0
    if tail[max(end - 76, 0) :][:4] == b"PK\6\6":
        return int.from_bytes(tail[end - 36 : end - 28], "little")
    return int.from_bytes(tail[end + 12 : end + 16], "little")


def _is_taken(name: str) -> bool:
    return Path(name).suffix.lower() in TAKEN and not is_hidden(name)
