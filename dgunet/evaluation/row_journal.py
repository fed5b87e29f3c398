"""The journal of an evaluation: finished rows on disk, so that a killed run resumes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import IO, Any

from dgunet.evaluation.rows import Entry, Timing, parse_row
from dgunet.system import files, leftovers
from dgunet.system.errors import DgunetError
from dgunet.system.line_files import append_line, format_line, open_log, read_lines

Note = Callable[[str], None]
"""Called with one line for each file or row that is ignored."""


class RowJournal:
    """Finished rows on disk, one file per process, so that a killed run resumes.

    A file starts with the key of its evaluation (checkpoint, data, protocol, settings); rows of
    another key are ignored. Every line has a checksum: a line that was cut off or changed, or that
    is not a row, is ignored as well, and its image is scored again.
    """

    def __init__(self, folder: Path, key: str, part: str) -> None:
        self.folder = folder
        self.key = key
        self.path = folder / f"{part}.jsonl"

    def entries(self, note: Note = lambda line: None) -> dict[int, Entry]:
        """The finished rows of all processes, by index in the set."""
        found: dict[int, Entry] = {}
        for path in sorted(self.folder.glob("*.jsonl")):
            for entry in self._read(path, note):
                found[entry[0]] = entry
        return found

    @contextmanager
    def appending(self) -> Iterator[IO[bytes]]:
        """Open this process's file for new rows, keeping its valid ones."""
        with files.writing(self.path):
            files.make_folder(self.folder)
            if self.path.is_dir() and not self.path.is_symlink():
                leftovers.remove(self.path)
            kept = list(self._read(self.path, lambda line: None))
            lines = [format_line({"key": self.key}), *map(format_line, map(_content, kept))]
            files.write_bytes(self.path, b"".join(lines))
            with open_log(self.path) as handle:
                yield handle

    def append(self, handle: IO[bytes], entry: Entry) -> None:
        """Add one row; it is on disk when this returns."""
        append_line(handle, _content(entry))

    def _read(self, path: Path, note: Note) -> Iterator[Entry]:
        try:
            lines = read_lines(path)
        except DgunetError as error:
            note(f"{error.message} Its images are scored again.")
            return
        for number, why in lines.damaged:
            what = "all its images are" if number == 1 else "its image is"
            note(f"{path}, line {number}: {why}; {what} scored again.")
        if any(number == 1 for number, _ in lines.damaged) or lines.entries[:1] != [
            {"key": self.key}
        ]:
            return
        for content in lines.entries[1:]:
            try:
                yield _entry(content)
            except ValueError as error:
                note(f"{path}: {error}; the image is scored again.")


def _content(entry: Entry) -> dict[str, Any]:
    index, row, timing = entry
    return {"index": index, "row": asdict(row), "timing": asdict(timing)}


def _entry(content: Mapping[str, Any]) -> Entry:
    index = content.get("index")
    if set(content) != {"index", "row", "timing"} or type(index) is not int or index < 0:
        raise ValueError("a line is not a row of an evaluation")
    return index, parse_row(content["row"]), _timing(content["timing"])


def _timing(content: object) -> Timing:
    names = {field.name for field in fields(Timing)}
    if not isinstance(content, Mapping) or set(content) != names:
        raise ValueError("a field of the timing of an image is missing or unknown")
    if not isinstance(content["id"], str) or not all(
        isinstance(content[name], float) and math.isfinite(content[name]) for name in names - {"id"}
    ):
        raise ValueError("the timing of an image is not numeric")
    return Timing(**content)
