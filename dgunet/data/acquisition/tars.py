"""Tar archives, read without trusting what they say of themselves."""

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

from dgunet.data.acquisition.members import Members
from dgunet.system.errors import DataError

_OPENERS: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
    b"\x5d\0\0": lzma.open,
}
_AT_ONCE = 16 << 20
"""Bytes that the tar reader may ask for in one go; headers with long names take kilobytes."""


@contextmanager
def open_tar(archive: Path, most: int) -> Iterator[tarfile.TarFile]:
    """Open a plain or compressed tar archive.

    Args:
        archive: a regular file.
        most: bytes that may be unpacked of it, headers and padding included.

    Raises:
        DataError: if it is no tar archive; while reading, if it is longer than ``most``.
        Others: what the decompressors raise for damaged bytes.
    """
    with archive.open("rb") as handle:
        start = handle.read(8)
    opener = next((o for magic, o in _OPENERS.items() if start.startswith(magic)), None)
    with archive.open("rb") if opener is None else opener(archive) as stream:
        bounded: Any = _Bounded(stream, archive, most)
        try:
            tar = tarfile.TarFile(fileobj=bounded)
        except tarfile.ReadError as error:
            raise DataError(
                f"{archive} is neither a folder nor a zip or tar archive.",
                "Unpack it yourself and name the folder.",
            ) from error
        with tar:
            yield tar


class _Bounded:
    """A stream that refuses to be read beyond a length, or much of it at once."""

    mode = "rb"

    def __init__(self, stream: Any, archive: Path, most: int) -> None:
        self._stream, self._archive = stream, archive
        # Blocks of headers, which no limit on the files' bytes counts.
        self._most = most + _AT_ONCE

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _AT_ONCE:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        content: bytes = self._stream.read(size)
        self._check(self._stream.tell())
        return content

    def seek(self, place: int, whence: int = 0) -> int:
        self._check(place)
        return int(self._stream.seek(place, whence))

    def tell(self) -> int:
        return int(self._stream.tell())

    def close(self) -> None:
        self._stream.close()

    def _check(self, place: int) -> None:
        if place > self._most:
            raise Members(self._archive).too_large(self._most - _AT_ONCE)


@dataclass(frozen=True)
class Link:
    """A symbolic or hard link in an archive.

    Attributes:
        name: of the member, below the archive's folder.
        names: what it names.
        relative: to the member's folder (a symbolic link), or to the archive's (a hard link).
    """

    name: str
    names: str
    relative: bool

    @property
    def target(self) -> str | None:
        """What it names below the archive's folder, by its letters; None if that is outside."""
        base = posixpath.dirname(self.name) if self.relative else ""
        target = posixpath.normpath(posixpath.join(base, self.names))
        return None if target.startswith(("/", "..")) else target
