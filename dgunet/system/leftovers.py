"""Partial files and folders of killed processes, distinguished from those of running ones.

A partial file or folder is called ``.NAME.OWNER.partial``, where OWNER identifies the process that
writes it. The next run of the same step removes those of dead processes; ``dgunet clean`` lists the
others.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from dgunet.system.safe_paths import NAME_BYTES

FOREIGN_SECONDS = 24 * 3600.0
"""Time without changes after which partial files of other machines count as left behind."""

_OWNED = re.compile(
    r"\..*\.(?P<space>[0-9a-f]{8})-(?P<pid>\d+)-(?P<start>\d+)-[0-9a-f]{8}"
    r"\.(?P<kind>partial|old)(\.[^.]*)?",
    re.DOTALL,
)
_UNOWNED = re.compile(
    r"\.(import|fetch)-.*\.partial|\..*\.[0-9a-f]{8}\.(partial|old)(\.[^.]*)?|\..*\.new"
    r"|mlflow\.db\.[0-9a-f]{8}\.partial",
    re.DOTALL,
)
"""Names that versions before 0.2 used, which do not identify the process."""


def partial_name(name: str, kind: str = "partial", suffix: str = "") -> str:
    """Return a hidden, unique name for a file or folder that this process is writing.

    Args:
        name: the final name; it is shortened if the result would exceed `NAME_BYTES`.
        kind: ``partial``, or ``old`` for a folder that is being replaced.
        suffix: file name suffix, from which image libraries derive the format.
    """
    tail = f".{_owner(os.getpid())}-{uuid.uuid4().hex[:8]}.{kind}"
    tail += suffix if len(suffix.encode()) <= 16 else ""
    available = NAME_BYTES - len(tail) - 1 - len(suffix.encode())
    head = name.encode(errors="surrogateescape")[:available].decode(errors="ignore")
    return f".{head}{tail}"


@dataclass(frozen=True)
class Leftover:
    """A partial file or folder.

    Attributes:
        path: the file or folder.
        dead: whether its process has ended, or nothing has changed for `FOREIGN_SECONDS`.
        bytes: its size.
        changed: time of the last change in seconds since 1970.
    """

    path: Path
    dead: bool
    bytes: int
    changed: float


def leftovers_in(folder: Path) -> Iterator[Leftover]:
    """Yield the partial files and folders directly in ``folder``."""
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            if path.name.startswith((".", "mlflow.db.")) and (found := _leftover(path)):
                yield found


def leftovers_below(top: Path, *, skip: frozenset[str] = frozenset()) -> Iterator[Leftover]:
    """Yield the partial files and folders in ``top`` and its subfolders; links are not followed.

    Args:
        top: the folder.
        skip: names of subfolders to ignore.
    """
    for here, folders, _ in os.walk(top):
        found = list(leftovers_in(Path(here)))
        yield from found
        names = {one.path.name for one in found}
        folders[:] = sorted(name for name in folders if name not in names | skip)


def remove_dead(folder: Path) -> list[Path]:
    """Remove the leftovers of dead processes of this machine from ``folder``.

    An old folder that was moved aside but not replaced is moved back instead.

    Returns:
        The removed files and folders.
    """
    removed = []
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            if not path.name.startswith("."):
                continue
            found = _OWNED.fullmatch(path.name)
            if found is None or not _is_dead(found, path):
                continue
            if found["kind"] == "old" and _put_back(path, found):
                continue
            remove(path)
            removed.append(path)
    return removed


def remove(path: Path) -> None:
    """Remove a file or a folder, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def is_locked(path: Path) -> bool:
    """Return whether a process holds the lock that `filelock` takes on the file at ``path``.

    A missing file is not locked; a file that cannot be opened counts as locked.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _put_back(old: Path, found: re.Match[str]) -> bool:
    name = old.name[1 : found.start("space") - 1]
    final = old.with_name(name)
    if final.exists() or final.is_symlink():
        return False
    old.rename(final)
    return True


def _leftover(path: Path) -> Leftover | None:
    found = _OWNED.fullmatch(path.name)
    if found is None and not _UNOWNED.fullmatch(path.name):
        return None
    changed, size = extent(path)
    dead = _is_dead(found, path) if found else time.time() - changed > FOREIGN_SECONDS
    return Leftover(path, dead, size, changed)


def extent(path: Path) -> tuple[float, int]:
    """Return the time of the last change in a file or folder, and its size in bytes."""
    changed, size = 0.0, 0
    for each in (path, *(path.rglob("*") if path.is_dir() and not path.is_symlink() else ())):
        with suppress(OSError):
            status = each.lstat()
            changed = max(changed, status.st_mtime)
            size += status.st_size
    return changed, size


def _is_dead(found: re.Match[str], path: Path) -> bool:
    if found["space"] == _space():
        return _started(int(found["pid"])) not in _about(int(found["start"]))
    changed, _ = extent(path)
    return time.time() - changed > FOREIGN_SECONDS


def _about(start: int) -> range:
    return range(start - 2, start + 3)


def _started(pid: int) -> int:
    """Return the start time of a process in seconds since 1970; -1000 if it does not run."""
    try:
        process = psutil.Process(pid)
        return -1000 if process.status() == psutil.STATUS_ZOMBIE else int(process.create_time())
    except (psutil.Error, OverflowError, ValueError):
        return -1000


@cache
def _owner(pid: int) -> str:
    """Return the part of names that identifies this process; cached by ID because of forks."""
    return f"{_space()}-{pid}-{_started(pid)}"


@cache
def _space() -> str:
    """Identify the machine, boot and PID namespace, in which a PID denotes one process."""
    facts = [socket.gethostname()]
    with suppress(OSError):
        facts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
        facts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:8]
