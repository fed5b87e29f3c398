"""What a project holds beside results: half-made things, unfinished work, set-aside journals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dgunet.evaluation.folder_turns import ROWS
from dgunet.evaluation.row_journal import LOCKS
from dgunet.system.leftovers import extent, is_locked, leftovers_below, remove

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
class Removable:
    """One thing that may go.

    Attributes:
        path: file or folder.
        kind: see `MEANINGS`.
        bytes: it takes.
    """

    path: Path
    kind: Kind
    bytes: int


def find_removable(home: Path, *more: Path) -> list[Removable]:
    """Everything in the project at ``home``, and in ``more`` folders, that is no result.

    Changes nothing; the order is that of the paths.
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
    """Remove what is of ``kinds``; returns what is left, such as what could not be removed.

    What runs ("alive") is never removed.
    """
    for one in found:
        if one.kind in kinds and one.kind != "alive":
            remove(one.path)
    return [one for one in found if one.path.exists() or one.path.is_symlink()]


def _unfinished(home: Path) -> Iterator[Path]:
    """What killed preparations, fetches, trainings and evaluations go on from, unless they run.

    A training holds no lock: whether it runs is not seen here.
    """
    build, downloads = home / "build", home / "build" / "downloads"
    for work in sorted((build / "prepared").glob(".*.work")):
        if not is_locked(work.with_name(f"{work.name.removesuffix('.work')}.lock")):
            yield work
    for rows in sorted(build.glob(f"*/**/{ROWS}")):
        if not any(map(is_locked, rows.glob(f"{LOCKS}*"))):
            yield rows
    busy = [lock.name[1 : -len("lock")] for lock in downloads.glob(".*.lock") if is_locked(lock)]
    for folder in (downloads, home / ".dgunet" / "checkpoints"):
        if folder.is_dir():
            for path in sorted(folder.iterdir()):
                if not path.name.startswith((".", *busy)):
                    yield path
