"""Reader of datasets with a list of pairs; every path in the list is checked before it is used."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from dgunet.data.readers.images import SUFFIXES, FileImage
from dgunet.data.readers.pairing import Pair
from dgunet.system.errors import DataError
from dgunet.system.reading import read_text, shorten
from dgunet.system.safe_paths import inside

LIST_BYTES = 16 << 20
LINES = 100_000
"""Maximum number of lines of a list; RealBlur's have 980."""

LINE = 4096
"""Maximum number of characters of a line, which holds two paths."""

_OWN = "Use the archive's own list."


class LeavesFolderError(DataError):
    """A path in a list points outside the dataset's folder; no other layout is tried for it."""


def read_list(folder: Path, listing: str, *, grey: bool) -> list[Pair]:
    """Read the pairs of a dataset from its list.

    A line has the paths of the target and of the degraded image below ``folder``, separated by
    white space. The id of a pair is ``SCENE-NAME``: the second folder above the degraded image and
    its name without suffix.

    Args:
        folder: folder of the dataset.
        listing: name of the list in it.
        grey: decode to one channel.

    Raises:
        LeavesFolderError: for a path that points outside ``folder``.
        DataError: if the list is missing, not UTF-8 or too long; if a line is too long, is not two
            paths of images, names an image that does not exist, or repeats a pair.
    """
    path = folder / listing
    if not path.is_file():
        raise DataError(f"there is no list {path}.", "The archive contains it.")
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
        target, degraded = (_image_path(folder, field, origin) for field in fields)
        key = f"{degraded.parts[-3]}-{degraded.stem}"
        if key in pairs:
            raise DataError(f"{origin}: {shorten(key)} is listed twice.", _OWN)
        pairs[key] = Pair(key, FileImage(degraded, grey), FileImage(target, grey))
    return list(pairs.values())


def _image_path(folder: Path, name: str, origin: str) -> Path:
    path = inside(folder, name, origin=origin, kind=LeavesFolderError)
    parts = PurePosixPath(name).parts
    if path.suffix.lower() not in SUFFIXES or any(part.startswith(".") for part in parts):
        kinds = " ".join(sorted(SUFFIXES))
        raise LeavesFolderError(
            f"{origin} names {shorten(name)}, which is not an image of a dataset.",
            f"Known suffixes: {kinds}.",
        )
    if len(parts) < 3:
        raise DataError(f"{origin}: {shorten(name)} is not in SCENE/HALF/.", _OWN)
    if not path.is_file():
        raise DataError(f"{path} is missing; {origin} names it.", "Import the dataset again.")
    return path
