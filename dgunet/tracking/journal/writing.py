"""The journal of a run: an append-only folder that is removed when MLflow has all of it.

``header.json`` describes the run, ``events.jsonl`` has one event per line in order of time,
``artifacts/`` has the files of the events, and ``cursor.json`` has the progress of delivery. The
writer holds a lock on ``alive`` as long as its process runs, which distinguishes live from dead
runs. The header and each event have a checksum. Each event also has its index, and the SHA-256 of
its file, if any. Every event is on the disk when the call that records it returns.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import threading
import time
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dgunet.system import files, leftovers, line_files
from dgunet.tracking.journal.reading import (
    JournalReader,
    digest_of,
    readable_journals,
    remove_leftovers,
)

__all__ = ["JournalReader", "JournalWriter", "now_ms", "readable_journals"]

_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]")


def now_ms() -> int:
    """Milliseconds since 1970, the unit of MLflow's times."""
    return time.time_ns() // 1_000_000


class JournalWriter:
    """Appends events to a new journal; each is on the disk when the call returns."""

    def __init__(self, journals: Path, header: dict[str, Any]) -> None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        self.id = f"{stamp}-{uuid.uuid4().hex[:8]}"
        self.folder = journals / self.id
        self._count = self._artifacts = 0
        self._one_at_a_time = threading.Lock()
        with files.writing(self.folder):
            files.make_folder(journals)
            remove_leftovers(journals)
            new = journals / leftovers.partial_name(self.id)
            (new / "artifacts").mkdir(parents=True)
            self._alive = (new / "alive").open("w", encoding="utf-8")
            fcntl.flock(self._alive, fcntl.LOCK_EX)
            self._events = line_files.open_log(new / "events.jsonl")
            whole = _encodable({"journal": self.id} | header)
            (new / "header.json").write_bytes(line_files.format_line(whole))
            files.sync_tree(new)
            files.rename(new, self.folder)
        self._size = 0

    def append(self, kind: str, **content: Any) -> None:
        """Append one event with the current time.

        Raises:
            DgunetError: if the disk is full or the folder is read-only.
        """
        with files.writing(self.folder), self._one_at_a_time:
            entry = {"kind": kind, "time": now_ms(), "n": self._count} | content
            try:
                line_files.append_line(self._events, _encodable(entry))
            except OSError:
                self._take_back()
                raise
            self._count += 1
            self._size = self._events.tell()

    def _take_back(self) -> None:
        """Remove the incomplete line that a full disk left, so that the next line is readable."""
        with suppress(OSError):
            self._events.close()
        path = self.folder / "events.jsonl"
        with suppress(OSError):
            os.truncate(path, self._size)
        self._events = line_files.open_log(path)

    def new_path(self, name: str) -> Path:
        """An unused path for an artifact with the file name ``name``."""
        self._artifacts += 1
        folder = self.folder / "artifacts" / f"{self._artifacts:05d}"
        with files.writing(folder):
            folder.mkdir(parents=True)
        plain = Path(name).name.encode(errors="replace").decode()
        return folder / _UNSAFE.sub("_", plain)

    def keep(self, path: Path) -> Path:
        """Copy the file or folder at ``path`` into the journal; return the path of the copy."""
        copy = self.new_path(path.name)
        with files.writing(copy):
            if path.is_dir():
                shutil.copytree(path, copy)
            else:
                shutil.copyfile(path, copy)
        return copy

    def settle(self, path: Path) -> dict[str, str]:
        """Flush an artifact to the disk; return its name in the journal and its digest."""
        with files.writing(path):
            if path.is_dir():
                files.sync_tree(path)
            else:
                files.sync(path)
            for folder in (path.parent, path.parent.parent):
                files.sync(folder)
            return {"file": path.relative_to(self.folder).as_posix(), "sha256": digest_of(path)}

    def close(self) -> None:
        """Close the journal and release its lock; afterwards it is only read."""
        try:
            self._events.close()
        finally:
            self._alive.close()


def _encodable(entry: dict[str, Any]) -> dict[str, Any]:
    """``entry`` with a question mark for each character that UTF-8 cannot encode."""
    text = json.dumps(entry, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        whole: dict[str, Any] = json.loads(text.encode(errors="replace"))
        return whole
    return entry
