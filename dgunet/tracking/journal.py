"""The journal of a run: a folder that only ever grows until MLflow has taken all of it.

``header.json`` says what the run is, ``events.jsonl`` holds one event a line in the order they
happened, ``artifacts/`` the files they speak of, ``cursor.json`` how far delivery got. The writer
holds a lock on ``alive`` while its process lives, so that a dead run can be told from a live one.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dgunet import files

Event = dict[str, Any]


def now_ms() -> int:
    """Milliseconds since 1970, the unit of MLflow's times."""
    return time.time_ns() // 1_000_000


@dataclass
class Cursor:
    """How far delivery got; everything needed to go on without doubling anything."""

    sent: int = 0
    """Events that MLflow has."""
    run_id: str | None = None
    experiment_id: str | None = None
    attempted: bool = False
    """A run may have been made although its id was never heard."""
    models: dict[str, str] = field(default_factory=dict)
    """Logged-model id by event number; an empty id means that one may have been made."""
    refused: int = 0


class JournalWriter:
    """Appends events; each call is one short write to a local file."""

    def __init__(self, journals: Path, header: dict[str, Any]) -> None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        self.id = f"{stamp}-{uuid.uuid4().hex[:8]}"
        self.folder = journals / self.id
        new = journals / f".{self.id}.new"
        with files.writing(new):
            (new / "artifacts").mkdir(parents=True)
            self._alive = (new / "alive").open("w")
            fcntl.flock(self._alive, fcntl.LOCK_EX)
            files.write_json(new / "header.json", {"journal": self.id} | header)
            new.rename(self.folder)
            self._events = (self.folder / "events.jsonl").open("a", buffering=1)
        self._artifacts = 0
        self._one_at_a_time = threading.Lock()

    def append(self, kind: str, **content: Any) -> None:
        """Add one event with the time it happened.

        Raises:
            DgunetError: if the disk is full or the folder was made read-only.
        """
        with files.writing(self.folder), self._one_at_a_time:
            line = json.dumps({"kind": kind, "time": now_ms()} | content, ensure_ascii=False)
            self._events.write(line + "\n")

    def place(self, name: str) -> Path:
        """A path of its own for an artifact with the file name ``name``."""
        self._artifacts += 1
        folder = self.folder / "artifacts" / f"{self._artifacts:05d}"
        with files.writing(folder):
            folder.mkdir()
        return folder / Path(name).name

    def keep(self, path: Path) -> str:
        """Copy the file or folder at ``path`` as it is now; gives its name in the journal."""
        copy = self.place(path.name)
        with files.writing(copy):
            if path.is_dir():
                shutil.copytree(path, copy)
            else:
                shutil.copyfile(path, copy)
        return self.name_of(copy)

    def name_of(self, path: Path) -> str:
        """The name in the journal of an artifact at ``path``."""
        return path.relative_to(self.folder).as_posix()

    def close(self) -> None:
        """Stop writing; from here on the journal is only read and delivered."""
        self._events.close()
        self._alive.close()


class JournalReader:
    """Reads a journal that may be live, finished or left behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.id = folder.name
        self.header: dict[str, Any] = json.loads((folder / "header.json").read_text())

    def events(self) -> list[Event]:
        """All whole events; a last line that is still being written is left out."""
        path = self.folder / "events.jsonl"
        if not path.exists():
            return []
        lines = path.read_bytes().split(b"\n")[:-1]
        return [json.loads(line) for line in lines]

    def cursor(self) -> Cursor:
        """How far delivery got; a journal that adopts a run begins with its id."""
        path = self.folder / "cursor.json"
        if path.exists():
            return Cursor(**json.loads(path.read_text()))
        return Cursor(run_id=self.header.get("adopt"))

    def save(self, cursor: Cursor) -> None:
        """Remember ``cursor``."""
        files.write_json(self.folder / "cursor.json", vars(cursor))

    def lives(self) -> bool:
        """Whether the process that writes it is there."""
        with (self.folder / "alive").open("a") as alive:
            try:
                fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def ended(self) -> bool:
        """Whether the run's end was written."""
        events = self.events()
        return bool(events) and events[-1]["kind"] == "end"

    def close_if_dead(self) -> None:
        """End the journal as KILLED if its process died without a word."""
        if self.lives() or self.ended():
            return
        path = self.folder / "events.jsonl"
        died = path.stat().st_mtime_ns // 1_000_000 if path.exists() else self.header["start"]
        self._drop_torn_line(path)
        end = {
            "kind": "end",
            "time": died,
            "status": "KILLED",
            "error": "the process died without a word (killed, or the machine stopped)",
        }
        with files.writing(path), path.open("a") as handle:
            handle.write(json.dumps(end) + "\n")

    @staticmethod
    def _drop_torn_line(path: Path) -> None:
        if path.exists():
            content = path.read_bytes()
            os.truncate(path, content.rfind(b"\n") + 1)

    def results(self) -> dict[str, str]:
        """Content hashes by key, as ``set_result`` told them so far."""
        return {
            key: value
            for event in self.events()
            if event["kind"] == "result"
            for key, value in event["values"].items()
        }


def journals_in(folder: Path) -> list[JournalReader]:
    """The journals in ``folder``, oldest first."""
    if not folder.is_dir():
        return []
    readers = []
    for path in sorted(folder.iterdir()):
        if not path.name.startswith("."):
            with suppress(FileNotFoundError):  # another process just delivered it
                readers.append(JournalReader(path))
    return readers
