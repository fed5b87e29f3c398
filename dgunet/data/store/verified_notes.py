"""Notes of the stores that were found whole, kept outside of them: a store is an output of DVC.

A note names the sizes, times and inodes that the files of a store had then.
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
"""The environment variable that names the folder of the notes, in place of the user's cache."""

MOST_NOTES = 1000

NOTE_BYTES = 16 << 20

State = list[list[str | int]]
"""For each file its name, size, times of change (content and inode, in ns) and inode."""

_seen: dict[Path, State] = {}
"""What this process found whole, for where no note can be kept."""


def folder() -> Path:
    """Of the notes: in ``DGUNET_CACHE``, or in ``dgunet`` of the user's cache.

    Raises:
        FileNotFoundError: for a user without a home.
    """
    if named := environment.CACHE.get():
        return named / "verified"
    base = Path(environment.USER_CACHE.get() or os.path.expanduser("~/.cache"))  # noqa: PTH111
    if not base.is_absolute():
        raise FileNotFoundError(f"{base} is not absolute")
    return base / "dgunet" / "verified"


def state_of(store: Path, names: Sequence[str]) -> State:
    """What changes when one of the files ``names`` in ``store`` is changed or replaced."""
    found: State = []
    for name in names:
        status = (store / name).stat()
        times = (status.st_mtime_ns, status.st_ctime_ns)
        found.append([name, status.st_size, *times, status.st_ino])
    return found


def is_known(store: Path, state: State) -> bool:
    """Whether ``store`` (an absolute path) was found whole in this state."""
    if _seen.get(store) == state:
        return True
    try:
        told = read_mapping(_note(store), limit=NOTE_BYTES)
    except (OSError, DgunetError):
        return False
    return bool(told.get("store") == _name(store) and told.get("files") == state)


def remember(store: Path, state: State) -> None:
    """Note that ``store`` is whole in this state; without a place for notes, in this process."""
    _seen[store] = state
    try:
        _prune(folder())
        files.write_json(_note(store), {"store": _name(store), "files": state})
    except (OSError, DgunetError):
        return


@contextmanager
def turn(store: Path) -> Iterator[None]:
    """Wait until no other process verifies ``store``; without a place for locks, go ahead."""
    lock = None
    try:
        files.make_folder(folder())
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
    return folder() / f"{files.sha256_bytes(os.fsencode(store))[:32]}.json"


def _name(store: Path) -> str:
    return os.fsencode(store).decode(errors="replace")


def _prune(notes: Path) -> None:
    """Forget the oldest notes when there are too many."""
    if not notes.is_dir():
        return
    found = sorted(notes.glob("*.json"), key=lambda path: path.stat().st_mtime)
    for path in found[: max(0, len(found) - MOST_NOTES)]:
        path.unlink(missing_ok=True)
