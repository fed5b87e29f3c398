"""Reads journals of live, finished and dead processes, and detects damaged ones."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dgunet.system import files, leftovers, line_files
from dgunet.system.errors import DgunetError
from dgunet.system.reading import read_bytes
from dgunet.tracking.journal.cursor import Cursor, read_cursor, save_cursor
from dgunet.tracking.journal.damage import Damaged, DamagedJournal, LostFile
from dgunet.tracking.journal.events import JOURNAL_ID, Event, check_events, check_header


class JournalReader:
    """Reads one journal; its process may be running, finished or dead.

    Raises:
        Damaged: if the header was changed.
        FileNotFoundError: if the journal does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.id = folder.name
        self.header, self._summed = _read_header(folder)

    @property
    def _log(self) -> Path:
        return self.folder / "events.jsonl"

    def check(self) -> None:
        """Check the header's fields.

        Raises:
            Damaged: with file and field.
        """
        if not JOURNAL_ID.fullmatch(self.id):
            raise Damaged(f"{self.folder}: the name of the folder is not a journal id.")
        check_header(self.header, self.folder / "header.json")

    def events(self) -> list[Event]:
        """All complete events; an incomplete last line is skipped.

        Raises:
            Damaged: if a line was changed.
        """
        return self._read()[0]

    def _read(self) -> tuple[list[Event], bool]:
        """The events, and whether an incomplete line follows them."""
        if self._summed and self.folder.is_dir() and not self._log.exists():
            raise Damaged(f"{self._log} is missing.")
        try:
            content = line_files.read_lines(self._log, unchecked=not self._summed)
        except DgunetError as error:
            raise Damaged(str(error)) from error
        if content.damaged:
            number, why = content.damaged[0]
            raise Damaged(f"{self._log}, line {number}: {why}.")
        check_events(content.entries, self._log, numbered=self._summed)
        if content.torn and content.entries and content.entries[-1]["kind"] == "end":
            raise Damaged(f"{self._log}: more data follows after the end of the run.")
        return content.entries, content.torn

    def cursor(self) -> Cursor:
        """The progress of delivery; an unreadable cursor counts as missing."""
        try:
            return read_cursor(self.folder / "cursor.json") or Cursor()
        except ValueError:
            return Cursor()

    def broken_cursor(self) -> str | None:
        """Why the cursor cannot be read; None if it can, or does not exist."""
        try:
            read_cursor(self.folder / "cursor.json")
        except ValueError as error:
            return str(error)
        return None

    def save(self, cursor: Cursor) -> None:
        """Save ``cursor``."""
        save_cursor(self.folder / "cursor.json", cursor)

    def is_live(self) -> bool:
        """Whether the process that writes the journal is running."""
        return is_live(self.folder)

    def ended(self) -> bool:
        """Whether the end of the run was recorded."""
        events = self.events()
        return bool(events) and events[-1]["kind"] == "end"

    def close_if_dead(self) -> None:
        """End the journal as KILLED if its process died before it recorded the end."""
        if self.is_live():
            return
        events, torn = self._read()
        if events and events[-1]["kind"] == "end":
            return
        there = self._log.exists()
        died = self._log.stat().st_mtime_ns // 1_000_000 if there else self.header["start"]
        end = {
            "kind": "end",
            "time": died,
            "n": len(events),
            "status": "KILLED",
            "error": "the process died before its end was recorded (killed, or machine stopped)",
        }
        with files.writing(self._log):
            if torn:
                os.truncate(self._log, _whole_bytes(self._log))
            with line_files.open_log(self._log) as handle:
                line_files.append_line(handle, end)


@dataclass
class Journals:
    """The content of the journals' folder.

    Attributes:
        whole: intact journals, oldest first.
        damaged: everything else.
    """

    whole: list[JournalReader] = field(default_factory=list)
    damaged: list[DamagedJournal] = field(default_factory=list)


def scan_journals(folder: Path, *, only: str | None = None) -> Journals:
    """Read and check the journals in ``folder``, or only the one named ``only``."""
    found = Journals()
    if not folder.is_dir():
        return found
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or only not in (None, path.name):
            continue
        try:
            reader = JournalReader(path)
            reader.check()
            reader.events()
        except FileNotFoundError:  # another process has just delivered it
            continue
        except DgunetError as error:
            if path.exists() or path.is_symlink():
                found.damaged.append(
                    DamagedJournal(path, _run(path), str(error), _stays(path, error))
                )
        else:
            found.whole.append(reader)
    return found


def _stays(path: Path, error: DgunetError) -> str:
    """Why a damaged journal must not be moved aside; "" if it may be."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError):
            return "it may become readable later"
        cause = cause.__cause__
    return "its process is running" if is_live(path) else ""


def readable_journals(folder: Path) -> list[JournalReader]:
    """The intact journals in ``folder``, oldest first."""
    return scan_journals(folder).whole


def remove_leftovers(folder: Path) -> None:
    """Remove partial journals of dead processes from the journals' folder."""
    for one in leftovers.leftovers_in(folder):
        if one.dead:
            leftovers.remove(one.path)


def is_live(folder: Path) -> bool:
    """Whether a process holds the lock of the journal at ``folder``."""
    return leftovers.is_locked(folder / "alive")


def digest_of(path: Path) -> str:
    """SHA-256 of a file, or of a folder's files and their names."""
    return files.tree_digest(path) if path.is_dir() else files.sha256_file(path)


def _read_header(folder: Path) -> tuple[dict[str, Any], bool]:
    """The header, and whether it has a checksum; versions before 0.2 wrote none."""
    path = folder / "header.json"
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise Damaged(f"{folder} is not a journal folder.")
    try:
        content = read_bytes(path, limit=line_files.LINE_BYTES, kind=Damaged).rstrip(b"\n")
    except FileNotFoundError:
        if folder.is_dir():
            raise Damaged(f"{path} is missing.") from None
        raise
    try:
        header = line_files.parse_line(content, unchecked=True)
    except ValueError as error:
        raise Damaged(f"{path}: {error}.") from error
    if "sum" in header:
        raise Damaged(f"{path} was changed after it was written.")
    return header, b'"sum": "' in content[-40:]


def _run(folder: Path) -> str:
    """The name of the run in a header that may be damaged; "" if it cannot be read."""
    try:
        name = json.loads(read_bytes(folder / "header.json", limit=line_files.LINE_BYTES))["name"]
    except (DgunetError, OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""
    return name if isinstance(name, str) else ""


def _whole_bytes(path: Path) -> int:
    """Size of a log up to the end of its last complete line, in bytes."""
    return read_bytes(path, limit=line_files.LOG_BYTES).rfind(b"\n") + 1


def check_artifact(path: Path, digest: str | None) -> None:
    """Check that an artifact exists, consists of plain files and was not changed.

    Args:
        path: file or folder.
        digest: result of `digest_of` when it was recorded; None in a journal from before 0.2.

    Raises:
        LostFile: with the path.
    """
    for one in (path, *(path.rglob("*") if path.is_dir() else ())):
        if not one.exists() and not one.is_symlink():
            raise LostFile(f"{one} is missing.")
        if one.is_symlink() or not (one.is_file() or one.is_dir()):
            raise LostFile(f"{one} is not a plain file.")
    if digest is not None and digest_of(path) != digest:
        raise LostFile(f"{path} was changed: its SHA-256 differs from the recorded one.")
