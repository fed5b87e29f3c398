"""Sets whose archive holds a list of their pairs: every path in it is checked before it is used."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from dgunet.data.readers.images import SUFFIXES, FilePicture
from dgunet.data.readers.pairing import Pair
from dgunet.system.errors import DataError
from dgunet.system.reading import read_text, shorten
from dgunet.system.safe_paths import inside

LIST_BYTES = 16 << 20
LINES = 100_000
"""A list is at most so long; RealBlur's have 980 lines."""

LINE = 4096
"""Characters of a line at most: two paths."""

_OWN = "Use the archive's own list."


class LeavesFolderError(DataError):
    """A name inside a set leads out of its folder: no accident, nothing else of it is looked at."""


def read_list(folder: Path, listing: str, *, grey: bool) -> list[Pair]:
    """The pairs of a set whose list has a line for each: target and degraded picture, a space.

    Both are paths below ``folder``; a record is called after the folder above the degraded
    picture's and its name.

    Args:
        folder: of the set.
        listing: name of the list in it.
        grey: decode to one channel.

    Raises:
        LeavesFolderError: for a path that leads out of ``folder``.
        DataError: if the list is missing, not UTF-8 or too long; for a line that is too long or not
            two pictures, that names a picture that is missing, or a pair that is there already.
    """
    path = folder / listing
    if not path.is_file():
        raise DataError(f"there is no list {path}.", "It comes with the archive.")
    lines = read_text(path, limit=LIST_BYTES).split("\n")
    if len(lines) > LINES:
        raise DataError(f"{path} has {len(lines):,} lines, at most {LINES:,} are read.", _OWN)
    pairs: dict[str, Pair] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        origin = f"{path}, line {number}"
        if len(line) > LINE:
            raise DataError(f"{origin}: it has {len(line):,} characters, at most {LINE:,}.", _OWN)
        fields = line.split()
        if len(fields) != 2:
            raise DataError(f"{origin}: {shorten(line)} is not two paths.", _OWN)
        target, degraded = (_picture(folder, field, origin) for field in fields)
        key = f"{degraded.parts[-3]}-{degraded.stem}"
        if key in pairs:
            raise DataError(f"{origin}: {shorten(key)} is there a second time.", _OWN)
        pairs[key] = Pair(key, FilePicture(degraded, grey), FilePicture(target, grey))
    return list(pairs.values())


def _picture(folder: Path, name: str, origin: str) -> Path:
    path = inside(folder, name, origin=origin, kind=LeavesFolderError)
    parts = PurePosixPath(name).parts
    if path.suffix.lower() not in SUFFIXES or any(part.startswith(".") for part in parts):
        kinds = " ".join(sorted(SUFFIXES))
        raise LeavesFolderError(
            f"{origin} names {shorten(name)}, which is no picture of a set.", f"Known: {kinds}."
        )
    if len(parts) < 3:
        raise DataError(f"{origin}: {shorten(name)} does not lie in SCENE/HALF/.", _OWN)
    if not path.is_file():
        raise DataError(f"{path} is missing; {origin} names it.", "Bring the set again.")
    return path
