"""The result folders below given paths, by the files that are in them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dgunet.evaluation.results import SUMMARY, TABLE
from dgunet.paper.written_tables import CELLS, INDEX
from dgunet.system.errors import DataError
from dgunet.system.hidden_files import is_hidden_name
from dgunet.system.seals import SEAL

ResultKind = Literal["store", "evaluation", "tables", "report", "folder"]
"""Kinds of results; "folder" is a sealed folder without the files of another kind."""

KINDS: tuple[ResultKind, ...] = ("store", "evaluation", "tables", "report", "folder")
"""In the order of verification: tables are compared with evaluations, these with stores."""

MANIFEST, REPORT = "manifest.json", "report.html"


@dataclass(frozen=True)
class FoundResult:
    """A result folder, or the page of a report."""

    path: Path
    kind: ResultKind


@dataclass(frozen=True)
class FoundResults:
    """What is below some paths.

    Attributes:
        results: in the order of `KINDS`, then of their paths.
        others: files of no result, hidden ones left out, such as networks and loss curves.
    """

    results: tuple[FoundResult, ...]
    others: tuple[Path, ...]


def find_all_results(paths: Iterable[Path]) -> FoundResults:
    """Find the results in ``paths`` and below.

    A result folder is recognised by any of its files, so that one that lacks others is found too.
    Links to folders are followed once.

    Raises:
        DataError: if a path does not exist, or is a file that is no page of a report.
    """
    results: dict[Path, FoundResult] = {}
    others: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            for each in _walk(path):
                if isinstance(each, FoundResult):
                    results.setdefault(each.path, each)
                else:
                    others.setdefault(each)
        elif not path.exists():
            raise DataError(f"{path} does not exist.", "Name a folder of results, or none.")
        elif path.suffix != ".html":
            raise DataError(
                f"{path} is neither a folder of results nor the page of a report.",
                "Name the folder of this file: a result is verified as a whole.",
            )
        else:
            results.setdefault(path, FoundResult(path, "report"))
    ordered = sorted(results.values(), key=lambda each: (KINDS.index(each.kind), each.path))
    return FoundResults(tuple(ordered), tuple(sorted(others)))


def _walk(top: Path) -> Iterator[FoundResult | Path]:
    seen: set[Path] = set()
    for here, folders, names in os.walk(top, followlinks=True):
        folder = Path(here)
        kind = _kind(set(names))
        if folder.resolve() in seen or kind:
            folders.clear()
        else:
            folders[:] = sorted(name for name in folders if not is_hidden_name(name))
        if folder.resolve() in seen:
            continue
        seen.add(folder.resolve())
        if kind:
            yield FoundResult(folder, kind)
            continue
        for name in sorted(name for name in names if not is_hidden_name(name)):
            path = folder / name
            yield FoundResult(path, "report") if name == REPORT else path


def _kind(names: set[str]) -> ResultKind | None:
    if names & {SUMMARY, TABLE}:
        return "evaluation"
    shards = any(name.startswith("pairs-") and name.endswith(".arrow") for name in names)
    if shards or {MANIFEST, SEAL} <= names:
        return "store"
    if CELLS in names or {INDEX, SEAL} <= names:
        return "tables"
    return "folder" if SEAL in names else None
