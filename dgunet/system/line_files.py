"""Append-only logs of JSON lines with checksums, flushed to the disk line by line.

A line is a JSON object whose last key ``sum`` contains the first 16 hexadecimal digits of the
SHA-256 of the line without it. A line that was truncated by a kill or changed later is reported by
its number; the other lines remain readable.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from dgunet.system import files
from dgunet.system.errors import DgunetError
from dgunet.system.reading import parse_json, read_bytes

LINE_BYTES = 16 << 20
"""Largest size of a line; a longer line counts as damaged."""

LOG_BYTES = 4 << 30
"""Largest size of a log."""

_SUM = re.compile(rb'(.*), "sum": "([0-9a-f]{16})"\}', re.DOTALL)


def format_line(entry: Mapping[str, Any]) -> bytes:
    """Return ``entry`` as a line with checksum and line ending.

    Raises:
        ValueError: for an empty entry, or one with a key ``sum``.
    """
    if not entry or "sum" in entry:
        raise ValueError("an entry needs at least one key and must not have the key sum")
    body = json.dumps(entry, ensure_ascii=True).encode()
    return body[:-1] + f', "sum": "{_digest(body)}"}}\n'.encode()


def parse_line(line: bytes, *, unchecked: bool = False) -> dict[str, Any]:
    """Return the entry of a line.

    Args:
        line: a line of `format_line`, without its line ending.
        unchecked: also accept a line without a checksum, as written by versions before 0.2.

    Raises:
        ValueError: if the line is not a JSON object, or its checksum is missing or wrong.
    """
    if len(line) > LINE_BYTES:
        raise ValueError(f"it is longer than {LINE_BYTES:,} bytes")
    found = _SUM.fullmatch(line)
    body = found[1] + b"}" if found else line
    if found is None and not unchecked:
        raise ValueError("it has no checksum")
    if found is not None and found[2].decode() != _digest(body):
        raise ValueError("its checksum is wrong")
    try:
        entry = parse_json(body.decode(), "the line")
    except (DgunetError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from error
    if not isinstance(entry, dict):
        raise ValueError("it is not a JSON object")
    return entry


@dataclass
class Lines:
    """Content of a log.

    Attributes:
        entries: the entries of all intact lines, in order.
        damaged: number (from 1) of each damaged line, and the reason.
        torn: whether the last line has no line ending: it is being written, or a kill truncated it.
    """

    entries: list[dict[str, Any]] = field(default_factory=list)
    damaged: list[tuple[int, str]] = field(default_factory=list)
    torn: bool = False


def read_lines(path: Path, *, unchecked: bool = False) -> Lines:
    """Read the log at ``path``; a missing file is an empty log.

    Args:
        path: the file.
        unchecked: as in `parse_line`.

    Raises:
        DgunetError: if the path is not a regular file, or cannot be read.
    """
    found = Lines()
    try:
        content = read_bytes(path, limit=LOG_BYTES)
    except FileNotFoundError:
        return found
    *lines, last = content.split(b"\n")
    found.torn = bool(last)
    for number, line in enumerate(lines, start=1):
        try:
            found.entries.append(parse_line(line, unchecked=unchecked))
        except ValueError as error:
            found.damaged.append((number, str(error)))
    return found


def append_line(handle: IO[bytes], entry: Mapping[str, Any]) -> None:
    """Append ``entry`` to a log of `open_log`; it is on disk when this returns.

    Raises:
        ValueError: as `format_line`.
    """
    handle.write(format_line(entry))
    handle.flush()
    os.fsync(handle.fileno())


def open_log(path: Path) -> IO[bytes]:
    """Open the log at ``path`` for `append_line`; create it and its folder if necessary.

    A truncated last line is given a line ending, so that only this line is damaged. The name of a
    new log is on disk when this returns.

    Raises:
        DgunetError: if the log cannot be written.
    """
    with files.writing(path):
        files.make_folder(path.parent)
        new = not path.exists()
        handle = path.open("a+b")
        size = handle.seek(0, os.SEEK_END)
        if size:
            handle.seek(size - 1)
            if handle.read(1) != b"\n":
                handle.write(b"\n")
        if new:
            files.sync(path.parent)
        return handle


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:16]
