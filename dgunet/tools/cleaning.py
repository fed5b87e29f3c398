"""Files of a project that are not results: partial files, unfinished work, journals set aside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dgunet.evaluation.unfinished import LOCK
from dgunet.system.leftovers import extent, is_locked, leftovers_below, remove

Kind = Literal["dead", "alive", "unfinished", "kept"]

MEANINGS: dict[Kind, str] = {
    "dead": "partial files of a process that no longer exists; of no use",
    "alive": "partial files of a running process, or of another machine or container",
    "unfinished": "work that the next run of the same step continues",
    "kept": "kept for inspection",
}

SKIPPED = frozenset({".git", ".venv", "node_modules", "mlruns", "dvcstore"})
"""Folders that are not searched."""


@dataclass(frozen=True)
class Removable:
    """A file or folder that may be removed.

    Attributes:
        path: its path.
        kind: its kind; see `MEANINGS`.
        bytes: its size in bytes.
    """

    path: Path
    kind: Kind
    bytes: int


def find_removable(home: Path, *more: Path) -> list[Removable]:
    """Everything in the project at ``home`` and in the folders ``more`` that is not a result.

    Changes nothing. The entries are sorted by path.
    """
    tops = [home, *(top for top in more if not top.resolve().is_relative_to(home.resolve()))]
    found = [
        Removable(one.path, "dead" if one.dead else "alive", one.bytes)
        for top in tops
        for one in leftovers_below(top, skip=SKIPPED)
    ]
    found += [Removable(path, "unfinished", extent(path)[1]) for path in _unfinished(home)]
    for name in ("refused", "damaged"):
        folder = home / ".dgunet" / name
        if folder.is_dir():
            found += [Removable(path, "kept", extent(path)[1]) for path in sorted(folder.iterdir())]
    return sorted(found, key=lambda one: one.path)


def remove_kinds(found: list[Removable], kinds: frozenset[Kind]) -> list[Removable]:
    """Remove the entries of these kinds; return all entries that still exist.

    Entries of the kind "alive" are never removed.
    """
    for one in found:
        if one.kind in kinds and one.kind != "alive":
            remove(one.path)
    return [one for one in found if one.path.exists() or one.path.is_symlink()]


def _unfinished(home: Path) -> Iterator[Path]:
    """Unfinished preparations, fetches, trainings and evaluations that are not running."""
    build, downloads = home / "build", home / "build" / "downloads"
    stores = (build / "prepared", *build.glob("campaigns/*/prepared"))
    for work in sorted(path for folder in stores for path in folder.glob(".*.work")):
        if not is_locked(work.with_name(f"{work.name.removesuffix('.work')}.lock")):
            yield work
    for place in sorted((home / ".dgunet" / "evaluations").glob("*")):
        if not is_locked(place / LOCK):
            yield place
    busy = [lock.name[1 : -len("lock")] for lock in downloads.glob(".*.lock") if is_locked(lock)]
    for path in sorted(downloads.glob("*")):
        if not path.name.startswith((".", *busy)):
            yield path
    for path in sorted((home / ".dgunet" / "checkpoints").glob("*")):
        if not path.name.startswith(".") and not is_locked(path.with_name(f".{path.name}.lock")):
            yield path
