"""Finding a set in a folder: however deep it lies, and in any tree of its catalogue entry."""

from __future__ import annotations

import os
from pathlib import Path

from dgunet.data.catalogue.entries import CATALOGUE, DatasetInfo, Tree
from dgunet.data.readers.folder_layouts import LAYOUTS
from dgunet.data.readers.limits import FOLDERS
from dgunet.data.readers.pair_lists import LeavesFolderError
from dgunet.data.readers.pairing import Pair, refuse_lonely
from dgunet.system.errors import DataError

DEPTH = 6
"""Folders are searched this deep for the set."""


def find_set(
    info: DatasetInfo, source: Path, *, part: bool = False
) -> tuple[Tree, Path, list[Pair]]:
    """The tree of a set somewhere in ``source``: how it lies, its folder, its pairs.

    A folder named as a tree says is preferred; otherwise the first from the top that reads as one,
    has the published number of pairs (with ``part`` any number), and is not named as another set.

    Raises:
        LeavesFolderError: for a list that names what lies elsewhere.
        DataError: if no folder reads as the set; says why the most likely one does not.
    """
    taken = {tree.folder for other in CATALOGUE.values() for tree in other.trees} - {
        tree.folder for tree in info.trees
    }
    folders = [
        folder
        for folder in _folders(source)
        if not taken & {source.name, *folder.relative_to(source).parts}
    ]
    # One half of another set would read as pictures of two halves: those need their name.
    others = [tree for tree in info.trees if tree.layout != "side-by-side"]
    candidates = [
        (tree, folder, True)
        for tree in info.trees
        for folder in folders
        if folder.as_posix().endswith("/" + tree.folder)
    ] + [(tree, folder, False) for folder in folders for tree in others]
    refused: DataError | None = None
    partial: tuple[Path, int] | None = None
    for tree, folder, is_named in candidates:
        try:
            pairs = LAYOUTS[tree.layout](folder, info.grey, **tree.options)
            refuse_lonely(pairs)
        except LeavesFolderError:
            raise
        except DataError as error:
            if refused is None and (is_named or _has_list(tree, folder)):
                refused = error
            continue
        # Under a name of its own, only the right number of pairs speaks for the set.
        if pairs and (is_named or part or len(pairs) == info.pairs):
            return tree, folder, pairs
        if pairs and partial is None:
            partial = folder, len(pairs)
    if refused is not None:
        raise refused
    if partial is not None:
        folder, count = partial
        raise DataError(
            f"{folder} could be {info.name}, but has {count} pairs of its {info.pairs:,} and"
            f" another name{f' ({info.counts[count]})' if count in info.counts else ''}.",
            "Add --part to take it as a part of the set.",
        )
    raise DataError(
        f"{source} does not hold {info.name}: no folder in it is called {info.trees[0].folder},"
        f" and none has its {info.pairs} pairs.",
        f"Expected: {info.naming}.",
    )


def _has_list(tree: Tree, folder: Path) -> bool:
    """Whether the list that only this set has lies in ``folder``."""
    return tree.layout == "listed" and (folder / str(tree.options["listing"])).is_file()


def _folders(top: Path) -> list[Path]:
    """Folders from the top down, a level at a time; hidden ones are left out.

    Raises:
        DataError: for more than `dgunet.data.readers.limits` allow.
    """
    found, start, most = [top], 0, FOLDERS.value
    for _ in range(DEPTH - 1):
        level, start = found[start:], len(found)
        for folder in level:
            found += _below(folder)
            if len(found) > most:
                raise DataError(
                    f"{top} holds more than {most:,} folders.",
                    f"Name the folder of the set itself. {FOLDERS.hint}",
                )
    return found


def _below(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [
                entry.name
                for entry in entries
                if not entry.name.startswith((".", "__MACOSX")) and entry.is_dir()
            ]
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({error.strerror}).") from error
    return [folder / name for name in sorted(names)]
