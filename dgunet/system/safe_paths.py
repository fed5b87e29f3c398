"""Conversion of untrusted names to paths that stay in their folder.

File lists of archives, manifests, IDs of records and file names in addresses are untrusted.
`inside` is the only function that converts such a name to a path.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from dgunet.system.errors import DataError, DgunetError
from dgunet.system.reading import shorten

NAME_BYTES = 255
"""Longest name of a file or folder on Linux file systems."""

PATH_BYTES = 1024
"""Longest path relative to its folder."""


def inside(
    root: Path, name: str, *, origin: str, kind: type[DgunetError] = DataError, links: bool = True
) -> Path:
    """Return the path of ``name`` below ``root``; refuse names that lead out of ``root``.

    Args:
        root: the folder.
        name: relative path with forward slashes.
        origin: where the name comes from ("FILE, line 3"), for errors.
        kind: class of the error to raise.
        links: whether symbolic links that end below ``root`` are allowed; otherwise all are
            refused.

    Raises:
        DgunetError: of ``kind``, for an empty or absolute name, ``..``, a backslash, a drive
            letter, a control character, a name that is too long for a file system, or a link that
            leads out of ``root``.
    """

    def refuse(why: str) -> DgunetError:
        return kind(f"{origin} names {shorten(name)}, which {why}.", "Do not use this file.")

    check_name(name, refuse)
    path = root.joinpath(*PurePosixPath(name).parts)
    try:
        home, place = root.resolve(), path.resolve()
    except (OSError, RuntimeError) as error:
        raise refuse(f"cannot be followed ({error})") from error
    if not place.is_relative_to(home):
        raise refuse(f"leads out of {root} through a link")
    if not links:
        step = root
        for part in PurePosixPath(name).parts:
            step = step / part
            if step.is_symlink():
                raise refuse("is a link")
    return path


def check_name(name: str, refuse: Callable[[str], Exception] = ValueError) -> None:
    """Refuse a name that could lead out of its folder on any operating system.

    Args:
        name: relative path with forward slashes.
        refuse: creates the exception to raise, from a reason such as "is absolute".

    Raises:
        Exception: the one that ``refuse`` creates.
    """
    parts = name.split("/")
    if not name or not name.strip("./"):
        raise refuse("names no file")
    if any(ord(letter) < 32 or letter == "\x7f" for letter in name):
        raise refuse("contains a control character")
    if name.startswith("/"):
        raise refuse("is absolute")
    if "\\" in name:
        raise refuse("contains a backslash")
    if re.match(r"[A-Za-z]:", name):
        raise refuse("starts with a drive letter")
    if ".." in parts:
        raise refuse("leads out of its folder")
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        raise refuse("is not UTF-8") from None
    if max(sizes) > NAME_BYTES or sum(sizes) + len(sizes) > PATH_BYTES:
        raise refuse("is too long for a file name")


def safe_file_name(name: str, *, origin: str, kind: type[DgunetError] = DataError) -> str:
    """Return ``name`` if it is a file name without folders and not hidden.

    Raises:
        DgunetError: of ``kind``, for a name that `inside` refuses, contains a slash or starts with
            a dot.
    """

    def refuse(why: str) -> DgunetError:
        return kind(f"{origin} names {shorten(name)}, which {why}.", "Do not use this file.")

    check_name(name, refuse)
    if "/" in name:
        raise refuse("is not a plain file name")
    if name.startswith("."):
        raise refuse("is hidden")
    return name
