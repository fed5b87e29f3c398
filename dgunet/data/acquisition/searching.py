"""Search for a dataset in a folder, at any depth and in any tree of its catalogue entry."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from dgunet.data.catalogue.entries import CATALOGUE, DatasetInfo, DatasetTree
from dgunet.data.readers.folder_layouts import LAYOUTS
from dgunet.data.readers.limits import FOLDERS
from dgunet.data.readers.pair_lists import LeavesFolderError
from dgunet.data.readers.pairing import Pair
from dgunet.data.store.recognition import (
    ReleaseMeasurements,
    other_release_text,
    refuse_incomplete,
)
from dgunet.system.errors import DataError
from dgunet.system.hidden_files import is_hidden_name

DEPTH = 6
"""Levels of folders that are searched for the dataset."""


@dataclass(frozen=True)
class _Candidate:
    """A folder that may be the dataset, read as one of its trees."""

    tree: DatasetTree
    folder: Path
    has_its_name: bool


def find_dataset(
    info: DatasetInfo, source: Path, *, part: bool = False
) -> tuple[DatasetTree, Path, list[Pair]]:
    """Find a dataset in ``source``: its tree, its folder and its pairs.

    A folder with the name of a tree is preferred. Otherwise the choice is the first folder from the
    top that can be read, has the published number of pairs (with ``part``: any number) and does not
    have the name of another dataset.

    Raises:
        LeavesFolderError: for a list with a path outside its folder.
        DataError: if no folder is the dataset; the message explains the most likely one.
    """
    refused: DataError | None = None
    partial: tuple[Path, int] | None = None
    for candidate in _candidates(info, source):
        tree, folder = candidate.tree, candidate.folder
        try:
            pairs = LAYOUTS[tree.layout](folder, info.grey, **tree.options)
            refuse_incomplete(info, pairs)
        except LeavesFolderError:
            raise
        except DataError as error:
            if refused is None and (candidate.has_its_name or _has_list(tree, folder)):
                refused = error
            continue
        # Without its name, only the right number of pairs identifies the dataset.
        if pairs and (candidate.has_its_name or part or len(pairs) == info.pairs):
            return tree, folder, pairs
        if pairs and partial is None:
            partial = folder, len(pairs)
    raise refused or _not_found(info, source, partial)


def _candidates(info: DatasetInfo, source: Path) -> list[_Candidate]:
    """Folders of ``source`` by preference: first those with a tree's name, then all others."""
    taken = {tree.folder for other in CATALOGUE.values() for tree in other.trees} - {
        tree.folder for tree in info.trees
    }
    folders = [
        folder
        for folder in _folders(source)
        if not taken & {source.name, *folder.relative_to(source).parts}
    ]
    named = [
        _Candidate(tree, folder, has_its_name=True)
        for tree in info.trees
        for folder in folders
        if folder.as_posix().endswith("/" + tree.folder)
    ]
    # A half of another dataset can be read as side-by-side images: that layout needs its name.
    trees = [tree for tree in info.trees if tree.layout != "side-by-side"]
    return named + [
        _Candidate(tree, folder, has_its_name=False) for folder in folders for tree in trees
    ]


def _not_found(info: DatasetInfo, source: Path, partial: tuple[Path, int] | None) -> DataError:
    """Error for a source without the dataset; ``partial`` is a folder with fewer or more pairs."""
    if partial is None:
        return DataError(
            f"{source} does not hold {info.name}: no folder in it is called {info.trees[0].folder},"
            f" and none has its {info.pairs:,} pairs.",
            f"Expected: {info.naming}.",
        )
    folder, count = partial
    meaning = other_release_text(info, ReleaseMeasurements(count)) or info.counts.get(count, "")
    return DataError(
        f"{folder} could be {info.name}, but it has {count:,} pairs instead of {info.pairs:,} and"
        f" another name{f' ({meaning})' if meaning else ''}.",
        "Add --part to import it as a part of the dataset.",
    )


def _has_list(tree: DatasetTree, folder: Path) -> bool:
    """Whether ``folder`` has the list of pairs that only this dataset has."""
    return tree.layout == "listed" and (folder / str(tree.options["listing"])).is_file()


def _folders(top: Path) -> list[Path]:
    """Folders in breadth-first order, without hidden ones.

    Raises:
        DataError: for more folders than `dgunet.data.readers.limits` allows.
    """
    found, start, most = [top], 0, FOLDERS.value
    for _ in range(DEPTH - 1):
        level, start = found[start:], len(found)
        for folder in level:
            found += _subfolders(folder)
            if len(found) > most:
                raise DataError(
                    f"{top} holds more than {most:,} folders.",
                    f"Give the folder of the dataset itself. {FOLDERS.hint}",
                )
    return found


def _subfolders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [
                entry.name for entry in entries if not is_hidden_name(entry.name) and entry.is_dir()
            ]
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({error.strerror}).") from error
    return [folder / name for name in sorted(names)]
