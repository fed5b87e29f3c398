"""Reading of untrusted tar archives."""

from __future__ import annotations

import bz2
import gzip
import lzma
import posixpath
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dgunet.data.acquisition.members import ArchiveMembers
from dgunet.system.errors import DataError

_OPENERS: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
    b"\x5d\0\0": lzma.open,
}
_AT_ONCE = 16 << 20
"""Maximum bytes per read of the tar reader; headers with long names take kilobytes."""


@contextmanager
def open_tar(archive: Path, most: int) -> Iterator[tarfile.TarFile]:
    """Open a plain or compressed tar archive.

    Args:
        archive: a regular file.
        most: maximum unpacked bytes, including headers and padding.

    Raises:
        DataError: if it is not a tar archive; while reading, if it is longer than ``most``.
        Exception: of any type that the decompressors raise, if it is damaged.
    """
    with archive.open("rb") as handle:
        start = handle.read(8)
    opener = next((o for magic, o in _OPENERS.items() if start.startswith(magic)), None)
    with archive.open("rb") if opener is None else opener(archive) as stream:
        bounded: Any = _BoundedStream(stream, archive, most)
        try:
            tar = tarfile.TarFile(fileobj=bounded)
        except tarfile.ReadError as error:
            raise DataError(
                f"{archive} is neither a folder nor a zip or tar archive.",
                "Unpack it yourself and give the folder.",
            ) from error
        with tar:
            yield tar


class _BoundedStream:
    """A stream that limits its total length and the bytes per read."""

    mode = "rb"

    def __init__(self, stream: Any, archive: Path, most: int) -> None:
        self._stream, self._archive = stream, archive
        # Allow for header blocks, which the limit on the files' bytes does not count.
        self._most = most + _AT_ONCE

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _AT_ONCE:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        content: bytes = self._stream.read(size)
        self._check(self._stream.tell())
        return content

    def seek(self, position: int, whence: int = 0) -> int:
        self._check(position)
        return int(self._stream.seek(position, whence))

    def tell(self) -> int:
        return int(self._stream.tell())

    def close(self) -> None:
        self._stream.close()

    def _check(self, position: int) -> None:
        if position > self._most:
            raise ArchiveMembers(self._archive).too_large(self._most - _AT_ONCE)


@dataclass(frozen=True)
class ArchiveLink:
    """A symbolic or hard link in an archive.

    Attributes:
        name: path of the link below the archive's root.
        refers_to: path that the link contains.
        relative: whether that path is relative to the link's folder (a symbolic link) or to the
            archive's root (a hard link).
    """

    name: str
    refers_to: str
    relative: bool

    @property
    def target(self) -> str | None:
        """Normalised target below the archive's root; None if it is outside."""
        base = posixpath.dirname(self.name) if self.relative else ""
        target = posixpath.normpath(posixpath.join(base, self.refers_to))
        return None if target.startswith(("/", "..")) else target
