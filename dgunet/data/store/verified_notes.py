"""Notes of successful verifications, kept outside the stores because a store is an output of DVC.

A note holds the sizes, times and inodes that the files of a store had when it was verified.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from dgunet.system import environment, files
from dgunet.system.errors import DgunetError
from dgunet.system.reading import read_mapping

CACHE = environment.CACHE.name
"""Environment variable with the folder of the notes, instead of the user's cache."""

MOST_NOTES = 1000
"""Maximum number of notes; the oldest are removed."""

NOTE_BYTES = 16 << 20
"""Maximum size of a note that is read."""

State = list[list[str | int]]
"""For each file: name, size, times of the last change of content and of inode in ns, inode."""

_seen: dict[Path, State] = {}
"""Stores that this process has verified, for machines where no note can be written."""


def notes_folder() -> Path:
    """Folder of the notes: below ``DGUNET_CACHE``, or below ``dgunet`` in the user's cache.

    Raises:
        FileNotFoundError: for a user without a home directory.
    """
    return environment.cache_folder() / "verified"


def state_of(store: Path, names: Sequence[str]) -> State:
    """State of the files ``names`` in ``store``, which differs after a change or a replacement."""
    found: State = []
    for name in names:
        status = (store / name).stat()
        times = (status.st_mtime_ns, status.st_ctime_ns)
        found.append([name, status.st_size, *times, status.st_ino])
    return found


def is_known(store: Path, state: State) -> bool:
    """Whether ``store`` (an absolute path) was verified in this state."""
    if _seen.get(store) == state:
        return True
    try:
        note = read_mapping(_note(store), limit=NOTE_BYTES)
    except (OSError, DgunetError):
        return False
    return bool(note.get("store") == _name(store) and note.get("files") == state)


def remember(store: Path, state: State) -> None:
    """Note that ``store`` was verified in this state; in memory only if no file can be written."""
    _seen[store] = state
    try:
        _prune(notes_folder())
        files.write_json(_note(store), {"store": _name(store), "files": state})
    except (OSError, DgunetError):
        return


@contextmanager
def exclusive(store: Path) -> Iterator[None]:
    """Hold the lock for verifying ``store``, waiting for other processes.

    Without a folder for locks, verification goes ahead unlocked.
    """
    lock = None
    try:
        files.make_folder(notes_folder())
        lock = FileLock(_note(store).with_suffix(".lock"))
        lock.acquire()
    except (OSError, NotImplementedError):
        lock = None
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


def _note(store: Path) -> Path:
    return notes_folder() / f"{files.sha256_bytes(os.fsencode(store))[:32]}.json"


def _name(store: Path) -> str:
    return os.fsencode(store).decode(errors="replace")


def _prune(notes: Path) -> None:
    """Remove the oldest notes beyond `MOST_NOTES`."""
    if not notes.is_dir():
        return
    found = sorted(notes.glob("*.json"), key=lambda path: path.stat().st_mtime)
    for path in found[: max(0, len(found) - MOST_NOTES)]:
        path.unlink(missing_ok=True)
