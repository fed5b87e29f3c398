"""Logs of JSON lines that grow: each line carries a check sum and is on the disk when told.

A line is a JSON object whose last key ``sum`` holds the first 16 digits of the SHA-256 of the line
without it. A line that was cut off by a kill, or changed afterwards, is found by its number and
does not hide the others.
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
"""A line is at most this long; a longer one counts as damaged."""

LOG_BYTES = 4 << 30
"""A log is at most this large."""

_SUM = re.compile(rb'(.*), "sum": "([0-9a-f]{16})"\}', re.DOTALL)


def format_line(entry: Mapping[str, Any]) -> bytes:
    """One line with its check sum and its line end.

    Raises:
        ValueError: for an empty entry, or one that has a key ``sum``.
    """
    if not entry or "sum" in entry:
        raise ValueError("an entry has at least one key, and none called sum")
    body = json.dumps(entry, ensure_ascii=True).encode()
    return body[:-1] + f', "sum": "{_digest(body)}"}}\n'.encode()


def parse_line(line: bytes, *, unchecked: bool = False) -> dict[str, Any]:
    """The entry of one line without its line end.

    Args:
        line: as `format_line` made it.
        unchecked: also take a line without a check sum, as versions before 0.2 wrote them.

    Raises:
        ValueError: if the line is not whole: no JSON object, or its check sum is another.
    """
    if len(line) > LINE_BYTES:
        raise ValueError(f"it is longer than {LINE_BYTES:,} bytes")
    found = _SUM.fullmatch(line)
    body = found[1] + b"}" if found else line
    if found is None and not unchecked:
        raise ValueError("it has no check sum")
    if found is not None and found[2].decode() != _digest(body):
        raise ValueError("its check sum is another")
    try:
        entry = parse_json(body.decode(), "the line")
    except (DgunetError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from error
    if not isinstance(entry, dict):
        raise ValueError("it is no JSON object")
    return entry


@dataclass
class Lines:
    """What a log holds.

    Attributes:
        entries: of the whole lines, in order.
        damaged: number (from 1) and reason of each line that is not whole.
        torn: the last line has no line end: it is being written, or a kill cut it off.
    """

    entries: list[dict[str, Any]] = field(default_factory=list)
    damaged: list[tuple[int, str]] = field(default_factory=list)
    torn: bool = False


def read_lines(path: Path, *, unchecked: bool = False) -> Lines:
    """All whole lines of the log at ``path``; none if it is not there.

    Raises:
        DgunetError: if it is not a regular file or cannot be read.
    """
    told = Lines()
    try:
        content = read_bytes(path, limit=LOG_BYTES)
    except FileNotFoundError:
        return told
    *lines, last = content.split(b"\n")
    told.torn = bool(last)
    for number, line in enumerate(lines, start=1):
        try:
            told.entries.append(parse_line(line, unchecked=unchecked))
        except ValueError as error:
            told.damaged.append((number, str(error)))
    return told


def append_line(handle: IO[bytes], entry: Mapping[str, Any]) -> None:
    """Add one line to a log opened for appending; it is on the disk when this returns.

    A line that an earlier writer was killed in is ended first, so that it stays the only damage.
    """
    handle.write(format_line(entry))
    handle.flush()
    os.fsync(handle.fileno())


def open_log(path: Path) -> IO[bytes]:
    """Open the log at ``path`` for `append_line`, its last line ended, its name on the disk."""
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
