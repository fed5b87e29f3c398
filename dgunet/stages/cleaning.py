"""What a project holds beside results: half-made things, unfinished work, set-aside journals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from dgunet.leftovers import leftovers_below, remove

Kind = Literal["dead", "alive", "unfinished", "kept"]

MEANINGS: dict[Kind, str] = {
    "dead": "half made by a process that is gone; of no use",
    "alive": "half made by a process that runs, or that another machine or container owns",
    "unfinished": "the next run of the same step goes on from it",
    "kept": "kept for a person to read",
}

SKIPPED = frozenset({".git", ".venv", "node_modules", "mlruns", "dvcstore"})
"""Folders that hold nothing of ours."""


@dataclass(frozen=True)
class Found:
    """One thing that may go.

    Attributes:
        path: file or folder.
        kind: see `MEANINGS`.
        bytes: it takes.
    """

    path: Path
    kind: Kind
    bytes: int


def survey(home: Path, *more: Path) -> list[Found]:
    """Everything in the project at ``home``, and in ``more`` folders, that is no result.

    Changes nothing; the order is that of the paths.
    """
    tops = [home, *(top for top in more if not top.resolve().is_relative_to(home.resolve()))]
    found = [
        Found(one.path, "dead" if one.dead else "alive", one.bytes)
        for top in tops
        for one in leftovers_below(top, skip=SKIPPED)
    ]
    found += [Found(path, "unfinished", _bytes(path)) for path in _unfinished(home)]
    for name in ("refused", "damaged"):
        folder = home / ".dgunet" / name
        if folder.is_dir():
            found += [Found(path, "kept", _bytes(path)) for path in sorted(folder.iterdir())]
    return sorted(found, key=lambda one: one.path)


def clean(found: list[Found], kinds: frozenset[Kind]) -> list[Found]:
    """Remove what is of ``kinds``; returns what is left, such as what could not be removed.

    What runs ("alive") is never removed.
    """
    for one in found:
        if one.kind in kinds and one.kind != "alive":
            remove(one.path)
    return [one for one in found if one.path.exists() or one.path.is_symlink()]


def _unfinished(home: Path) -> Iterator[Path]:
    """What killed preparations, fetches, trainings and evaluations go on from, unless they run."""
    build = home / "build"
    for work in sorted((build / "prepared").glob(".*.work")):
        if _free(work.with_name(f"{work.name.removesuffix('.work')}.lock")):
            yield work
    for rows in sorted(build.glob("*/**/.rows")):
        if _free(rows.with_name(".lock")):
            yield rows
    for folder in (build / "downloads", home / ".dgunet" / "checkpoints"):
        if folder.is_dir():
            yield from sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _free(lock: Path) -> bool:
    """Whether nobody holds ``lock``."""
    if not lock.exists():
        return True
    try:
        with FileLock(lock, timeout=0):
            return True
    except (Timeout, OSError):
        return False


def _bytes(path: Path) -> int:
    size = 0
    for each in (path, *(path.rglob("*") if path.is_dir() and not path.is_symlink() else ())):
        with suppress(OSError):
            size += each.lstat().st_size
    return size
