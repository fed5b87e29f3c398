"""Joining a name that comes from data to a folder, without ever leaving the folder.

A list inside an archive, a manifest, a record's id, the file name in an address: all of these are
written by strangers. `inside` is the one place that turns such a name into a path.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from dgunet.system.errors import DataError, DgunetError
from dgunet.system.reading import shorten

NAME_BYTES = 255
"""Longest name of a file or folder on Linux's file systems."""

PATH_BYTES = 1024
"""Longest path below a folder that data may name."""


def inside(
    root: Path, name: str, *, origin: str, kind: type[DgunetError] = DataError, links: bool = True
) -> Path:
    """The path that ``name`` stands for below ``root``; nothing that leads elsewhere passes.

    Args:
        root: the folder that must not be left.
        name: relative, with forward slashes.
        origin: what holds the name ("FILE, line 3"), for errors.
        kind: of the error.
        links: allow symbolic links on the way as long as they end below ``root``; without it every
            link is refused.

    Raises:
        DgunetError: of ``kind``, for an empty or absolute name, ``..``, a backslash, a drive
            letter, a control character or NUL, a name too long for a file system, or a link that
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
    """Refuse a relative name that could leave its folder on any system.

    Args:
        name: relative, with forward slashes.
        refuse: makes the exception to raise from the reason ("is absolute").
    """
    parts = name.split("/")
    if not name or not name.strip("./"):
        raise refuse("names no file")
    if any(ord(letter) < 32 or letter == "\x7f" for letter in name):
        raise refuse("holds a control character")
    if name.startswith("/"):
        raise refuse("is absolute")
    if "\\" in name:
        raise refuse("holds a backslash")
    if re.match(r"[A-Za-z]:", name):
        raise refuse("begins with a drive letter")
    if ".." in parts:
        raise refuse("leads out of its folder")
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        raise refuse("is not UTF-8") from None
    if max(sizes) > NAME_BYTES or sum(sizes) + len(sizes) > PATH_BYTES:
        raise refuse("is too long for a file's name")


def safe_file_name(name: str, *, origin: str, kind: type[DgunetError] = DataError) -> str:
    """``name``, if it is the plain name of a file that is not hidden.

    Raises:
        DgunetError: of ``kind``, as `inside`, or for a slash or a dot at its start.
    """

    def refuse(why: str) -> DgunetError:
        return kind(f"{origin} names {shorten(name)}, which {why}.", "Do not use this file.")

    check_name(name, refuse)
    if "/" in name:
        raise refuse("is not the plain name of a file")
    if name.startswith("."):
        raise refuse("is hidden")
    return name
