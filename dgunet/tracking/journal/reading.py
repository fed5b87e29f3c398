"""Reading journals, which may be live, finished, left behind or damaged."""

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
    """Reads a journal that may be live, finished or left behind.

    Raises:
        Damaged: if its header is not as it was written.
        FileNotFoundError: if the journal is not there.
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
            Damaged: naming file and field.
        """
        if not JOURNAL_ID.fullmatch(self.id):
            raise Damaged(f"{self.folder}: this is no journal's name.")
        check_header(self.header, self.folder / "header.json")

    def events(self) -> list[Event]:
        """All whole events; a last line that is still being written is left out.

        Raises:
            Damaged: if a line is not as it was written.
        """
        return self._read()[0]

    def _read(self) -> tuple[list[Event], bool]:
        """The events, and whether a torn line follows them."""
        if self._summed and self.folder.is_dir() and not self._log.exists():
            raise Damaged(f"{self._log} is missing.")
        try:
            told = line_files.read_lines(self._log, unchecked=not self._summed)
        except DgunetError as error:
            raise Damaged(str(error)) from error
        if told.damaged:
            number, why = told.damaged[0]
            raise Damaged(f"{self._log}, line {number}: {why}.")
        check_events(told.entries, self._log, numbered=self._summed)
        if told.torn and told.entries and told.entries[-1]["kind"] == "end":
            raise Damaged(f"{self._log}: more follows after the run's end.")
        return told.entries, told.torn

    def cursor(self) -> Cursor:
        """How far delivery got; a broken one counts as none."""
        try:
            return read_cursor(self.folder / "cursor.json") or Cursor()
        except ValueError:
            return Cursor()

    def broken_cursor(self) -> str | None:
        """Why the cursor cannot be read; None if it can, or is not there."""
        try:
            read_cursor(self.folder / "cursor.json")
        except ValueError as error:
            return str(error)
        return None

    def save(self, cursor: Cursor) -> None:
        """Remember ``cursor``."""
        save_cursor(self.folder / "cursor.json", cursor)

    def lives(self) -> bool:
        """Whether the process that writes it is there."""
        return lives(self.folder)

    def ended(self) -> bool:
        """Whether the run's end was written."""
        events = self.events()
        return bool(events) and events[-1]["kind"] == "end"

    def close_if_dead(self) -> None:
        """End the journal as KILLED if its process died without a word."""
        if self.lives():
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
            "error": "the process died without a word (killed, or the machine stopped)",
        }
        with files.writing(self._log):
            if torn:
                os.truncate(self._log, _whole_bytes(self._log))
            with line_files.open_log(self._log) as handle:
                line_files.append_line(handle, end)


@dataclass
class Journals:
    """What lies in the journals' folder.

    Attributes:
        whole: journals, oldest first.
        damaged: everything else.
    """

    whole: list[JournalReader] = field(default_factory=list)
    damaged: list[DamagedJournal] = field(default_factory=list)


def scan_journals(folder: Path, *, only: str | None = None) -> Journals:
    """Read and check the journals in ``folder``, or the one called ``only``."""
    told = Journals()
    if not folder.is_dir():
        return told
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or only not in (None, path.name):
            continue
        try:
            reader = JournalReader(path)
            reader.check()
            reader.events()
        except FileNotFoundError:  # another process just delivered it
            continue
        except DgunetError as error:
            if path.exists() or path.is_symlink():
                told.damaged.append(
                    DamagedJournal(path, _run(path), str(error), _stays(path, error))
                )
        else:
            told.whole.append(reader)
    return told


def _stays(path: Path, error: DgunetError) -> str:
    """Why a damaged journal must stay where it is; "" if it may be moved aside."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError):
            return "the system may let it be read later"
        cause = cause.__cause__
    return "its process lives" if lives(path) else ""


def readable_journals(folder: Path) -> list[JournalReader]:
    """The whole journals in ``folder``, oldest first."""
    return scan_journals(folder).whole


def remove_leftovers(folder: Path) -> None:
    """Remove from the journals' folder what dead processes left half made or half removed."""
    for one in leftovers.leftovers_in(folder):
        if one.dead:
            leftovers.remove(one.path)


def lives(folder: Path) -> bool:
    """Whether a process holds the lock of the journal at ``folder``."""
    return leftovers.is_locked(folder / "alive")


def digest_of(path: Path) -> str:
    """SHA-256 of a file, or of a folder's files and their names."""
    return files.tree_digest(path) if path.is_dir() else files.sha256_file(path)


def _read_header(folder: Path) -> tuple[dict[str, Any], bool]:
    """The header, and whether it carries a check sum, as versions before 0.2 did not."""
    path = folder / "header.json"
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise Damaged(f"{folder} is not a journal's folder.")
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
        raise Damaged(f"{path}: it is not as it was written.")
    return header, b'"sum": "' in content[-40:]


def _run(folder: Path) -> str:
    """The run's name in a header that may be damaged; "" if it cannot be read."""
    try:
        name = json.loads(read_bytes(folder / "header.json", limit=line_files.LINE_BYTES))["name"]
    except (DgunetError, OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""
    return name if isinstance(name, str) else ""


def _whole_bytes(path: Path) -> int:
    """Bytes of a log up to the end of its last whole line."""
    return read_bytes(path, limit=line_files.LOG_BYTES).rfind(b"\n") + 1


def check_artifact(path: Path, digest: str | None) -> None:
    """Check that an artifact is there as it was kept: plain files, and the same content.

    Args:
        path: file or folder.
        digest: as `digest_of` gave it; None for a journal of a version before 0.2.

    Raises:
        LostFile: naming the file.
    """
    for one in (path, *(path.rglob("*") if path.is_dir() else ())):
        if not one.exists() and not one.is_symlink():
            raise LostFile(f"{one} is missing.")
        if one.is_symlink() or not (one.is_file() or one.is_dir()):
            raise LostFile(f"{one} is not a plain file.")
    if digest is not None and digest_of(path) != digest:
        raise LostFile(f"{path} is not as the run kept it: its SHA-256 is another.")
