"""What a killed process leaves half made, told from what a living one is making.

Everything half made has a name ``.NAME.OWNER.partial``, where OWNER says which process makes it.
The next run of the same step removes those whose process is gone; ``dgunet clean`` lists the rest.
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
"""What another machine or container makes counts as left behind after so long without a change."""

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
"""Names that versions before 0.2 gave; they do not tell whose they are."""


def partial_name(name: str, kind: str = "partial", suffix: str = "") -> str:
    """A name for what this process is making, hidden, unique and short enough for a file system.

    Args:
        name: of what is being made; shortened if it must be.
        kind: ``partial``, or ``old`` for what a finished one replaces.
        suffix: its ending, which image libraries choose the format by.
    """
    tail = f".{_owner(os.getpid())}-{uuid.uuid4().hex[:8]}.{kind}"
    tail += suffix if len(suffix.encode()) <= 16 else ""
    room = NAME_BYTES - len(tail) - 1 - len(suffix.encode())
    head = name.encode(errors="surrogateescape")[:room].decode(errors="ignore")
    return f".{head}{tail}"


@dataclass(frozen=True)
class Leftover:
    """Something half made.

    Attributes:
        path: file or folder.
        dead: its process is gone for certain, or nothing changed for `FOREIGN_SECONDS`.
        bytes: it takes.
        changed: seconds since 1970.
    """

    path: Path
    dead: bool
    bytes: int
    changed: float


def leftovers_in(folder: Path) -> Iterator[Leftover]:
    """Everything half made directly in ``folder``."""
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            if path.name.startswith((".", "mlflow.db.")) and (told := _judged(path)):
                yield told


def leftovers_below(top: Path, *, skip: frozenset[str] = frozenset()) -> Iterator[Leftover]:
    """Everything half made in ``top`` and its folders, links not followed.

    Args:
        top: the folder.
        skip: names of folders that are left out.
    """
    for here, folders, _ in os.walk(top):
        found = list(leftovers_in(Path(here)))
        yield from found
        names = {one.path.name for one in found}
        folders[:] = sorted(name for name in folders if name not in names | skip)


def remove_dead(folder: Path) -> list[Path]:
    """Remove from ``folder`` what dead processes of this machine left; gives what was removed.

    An old folder that was moved aside and not replaced is moved back instead.
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
    """Remove a file or a folder; nothing happens if it is gone."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of the file at ``path``; no file is no lock.

    `filelock` takes the same locks. One that cannot be looked at counts as held.
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


def _judged(path: Path) -> Leftover | None:
    found = _OWNED.fullmatch(path.name)
    if found is None and not _UNOWNED.fullmatch(path.name):
        return None
    changed, size = extent(path)
    dead = _is_dead(found, path) if found else time.time() - changed > FOREIGN_SECONDS
    return Leftover(path, dead, size, changed)


def extent(path: Path) -> tuple[float, int]:
    """When something in it changed last, and its bytes."""
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
    """When the process began, in seconds since 1970; -1000 if there is none."""
    try:
        process = psutil.Process(pid)
        return -1000 if process.status() == psutil.STATUS_ZOMBIE else int(process.create_time())
    except (psutil.Error, OverflowError, ValueError):
        return -1000


@cache
def _owner(pid: int) -> str:
    """This process in a name; looked up once a process, forked ones have another number."""
    return f"{_space()}-{pid}-{_started(pid)}"


@cache
def _space() -> str:
    """Names the machine, its boot and its process numbers: where a pid means one process."""
    facts = [socket.gethostname()]
    with suppress(OSError):
        facts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
        facts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:8]
