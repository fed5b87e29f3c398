"""Safe unpacking of untrusted zip and tar archives.

Only files with the wanted suffixes are unpacked, as plain files with default permissions: no
links, nothing executable, nothing hidden. All names and sizes are checked before anything is
written: those of a zip in its index, those of a tar, which has no index, by reading it twice.
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

from dgunet.data.acquisition.members import ArchiveMembers
from dgunet.data.acquisition.tars import ArchiveLink, open_tar
from dgunet.data.readers.images import SUFFIXES
from dgunet.data.readers.limits import unpacked_limit
from dgunet.system.errors import DataError, DgunetError
from dgunet.system.hidden_files import has_hidden_part
from dgunet.system.reading import shorten

DATASET_SUFFIXES = SUFFIXES | {".mat", ".txt"}
"""Suffixes of a dataset's files: images, MATLAB files and lists."""

_CHUNK = 1 << 20
_TAIL = 65_557 + 76
"""Bytes at the end of a zip that may hold the end of its index: 64 kB of comment, two records."""
_ENTRY_BYTES = 300
"""Upper bound of the size of a zip's index entry without a long name."""


def check_space(need: int, folder: Path, shown: Path) -> None:
    """Refuse ``need`` bytes that the disk of ``folder`` cannot hold.

    Raises:
        DgunetError: naming ``shown`` and the free space.
    """
    free = shutil.disk_usage(folder).free
    if need > free:
        raise DgunetError(
            f"{shown} needs {need / 1e9:.1f} GB and the disk has {free / 1e9:.1f} GB free.",
            "Free some space, or choose another --root.",
        )


def is_archive(path: Path) -> bool:
    """Whether ``path`` is a zip or tar archive by content; a damaged one may not be recognised."""
    if not path.is_file():
        return False
    try:
        if zipfile.is_zipfile(path):
            return True
        with open_tar(path, unpacked_limit(path.stat().st_size)):
            return True
    except (*_DAMAGE, *_INVALID_INDEX, OSError, DataError):
        return False


_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, LZMAError)
_INVALID_INDEX = (ValueError, OverflowError, KeyError, IndexError, TypeError, AttributeError)
"""Errors of the libraries for invalid numbers and names in an index."""


def unpack(
    archive: Path, folder: Path, suffixes: frozenset[str] = frozenset(DATASET_SUFFIXES)
) -> None:
    """Unpack the files with these suffixes of a zip or tar archive into an empty folder.

    Raises:
        DataError: for another kind of file, a damaged or encrypted archive, one that points outside
            its folder, has devices or pipes, or is larger than `dgunet.data.readers.limits` allows.
        DgunetError: if the disk cannot hold it.
    """
    if not archive.is_file():
        raise DataError(f"{archive} is not a regular file.", "Give an archive or a folder.")
    try:
        if zipfile.is_zipfile(archive):
            _unpack_zip(archive, folder, suffixes)
        else:
            _unpack_tar(archive, folder, suffixes)
    except tarfile.FilterError as error:
        raise DataError(
            f"{archive} holds a file that would be written outside its folder ({error}).",
            "Do not use this archive.",
        ) from error
    except (*_DAMAGE, *_INVALID_INDEX, OSError) as error:
        # A disk error, not a damaged archive; a damaged offset in a zip gives EINVAL.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise DataError(
            f"{archive} is damaged ({error}).", "Download it again; it may be truncated."
        ) from error
    except RuntimeError as error:  # encrypted, or an unknown compression method
        raise DataError(
            f"{archive} cannot be unpacked here ({error}).",
            "Unpack it yourself and give the folder.",
        ) from error


def _unpack_zip(archive: Path, folder: Path, suffixes: frozenset[str]) -> None:
    members = ArchiveMembers(archive)
    members.check_index(_index_bytes(archive) // _ENTRY_BYTES)
    with zipfile.ZipFile(archive) as handle:
        selected: list[tuple[zipfile.ZipInfo, str]] = []
        for info in handle.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind == stat.S_IFLNK:
                raise members.outside(info.filename)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise members.special(info.filename)
            name = members.add(info.filename, is_folder=info.is_dir())
            if name and not info.is_dir() and _is_wanted(name, suffixes):
                selected.append((info, name))
        need = sum(info.file_size for info, _ in selected)
        if need > (most := unpacked_limit(archive.stat().st_size)):
            raise members.too_large(most)
        check_space(need, folder, archive)
        target_of = _MemberPaths(folder, most)
        for info, name in selected:
            with handle.open(info) as source, target_of(name).open("wb") as target:
                shutil.copyfileobj(source, target, _CHUNK)


def _unpack_tar(archive: Path, folder: Path, suffixes: frozenset[str]) -> None:
    most = unpacked_limit(archive.stat().st_size)
    members, target_of = ArchiveMembers(archive), _MemberPaths(folder, most)
    with open_tar(archive, most) as handle:  # first pass: names and sizes
        for info in handle:
            if not (info.isreg() or info.isdir() or info.issym() or info.islnk()):
                raise members.special(info.name)
            members.add(info.name, is_folder=info.isdir())
            tarfile.data_filter(info, str(folder))
            target_of.room -= info.size
            if target_of.room < 0:
                raise members.too_large(most)
        while handle.fileobj and handle.fileobj.read(_CHUNK):
            pass  # read on to the checksum of the compression, which follows the archive
    check_space(most - target_of.room, folder, archive)
    links: list[ArchiveLink] = []
    with open_tar(archive, most) as handle:
        for info in handle:
            name = PurePosixPath(info.name).as_posix()
            if info.isdir() or not _is_wanted(name, suffixes):
                continue
            if info.issym() or info.islnk():
                links.append(ArchiveLink(name, info.linkname, relative=info.issym()))
                continue
            source = handle.extractfile(info)
            assert source is not None  # a regular file has content
            with source, target_of(name).open("wb") as target:
                shutil.copyfileobj(source, target, _CHUNK)
    _copy_links(links, members, target_of, most)


def _copy_links(
    links: list[ArchiveLink], members: ArchiveMembers, target_of: _MemberPaths, most: int
) -> None:
    """Replace every link by a copy of its target; links to files that do not exist are skipped."""
    targets = {link.name: link.target for link in links}
    for link in links:
        target: str | None = link.name
        for _ in range(40):  # the limit of the Linux kernel
            if target is None or target not in targets:
                break
            target = targets[target]
        if target is None:
            raise members.outside(link.name)
        source = target_of.folder / target
        if source.is_dir():
            raise DataError(
                f"{members.archive} holds {shorten(link.name)}, which is a link to a folder.",
                "Unpack it yourself and give the folder.",
            )
        if source.is_file():
            target_of.room -= source.stat().st_size
            if target_of.room < 0:
                raise members.too_large(most)
            shutil.copyfile(source, target_of(link.name))


class _MemberPaths:
    """Paths of members in a folder that only this unpacking writes to.

    Attributes:
        folder: folder to unpack to.
        room: bytes that may still be written.
    """

    def __init__(self, folder: Path, room: int) -> None:
        self.folder, self.room = folder, room
        self._made = {folder}

    def __call__(self, name: str) -> Path:
        """Path of a member that `ArchiveMembers` has checked; its folder is created."""
        path = self.folder / name
        if path.parent not in self._made:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(path.parent)
        return path


def _index_bytes(archive: Path) -> int:
    """Length of a zip's index according to the record at its end; 0 if there is none."""
    with archive.open("rb") as handle:
        handle.seek(max(0, archive.stat().st_size - _TAIL))
        tail = handle.read()
    end = tail.rfind(b"PK\5\6")
    if end < 0 or len(tail) < end + 16:
        return 0
    if tail[max(end - 76, 0) :][:4] == b"PK\6\6":
        return int.from_bytes(tail[end - 36 : end - 28], "little")
    return int.from_bytes(tail[end + 12 : end + 16], "little")


def _is_wanted(name: str, suffixes: frozenset[str]) -> bool:
    return Path(name).suffix.lower() in suffixes and not has_hidden_part(name)
