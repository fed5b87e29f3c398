"""Bringing a set in: from an archive or a folder, however it is nested, to its official tree."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dgunet import files
from dgunet.data.catalogue import CATALOGUE, DatasetInfo, Tree, dataset
from dgunet.data.layouts import LAYOUTS, find_present
from dgunet.data.pairing import Pair, refuse_lonely
from dgunet.data.releases import Seen, doubts, glance, known_as
from dgunet.data.unpacking import check_space, unpack, unpacked_bytes
from dgunet.errors import DataError

DEPTH = 6
"""Folders are searched this deep for the set."""

INDEXES = {"listed": ("listing",), "dnd": ("info.mat",)}
"""Files of a layout that are no picture: an option that names one, or the name itself."""


@dataclass(frozen=True)
class Imported:
    """What an import did: where the set lies now, how much of it, and which release it is.

    Attributes:
        dataset, folder: what lies where.
        pairs, published_pairs, files: how many.
        release: what the catalogue calls its pixels, "" if it does not know them.
        doubts: what speaks against the benchmark's release.
        digest: over the pixels, where the catalogue knows some release's.
    """

    dataset: str
    folder: Path
    pairs: int
    published_pairs: int
    files: int
    release: str = ""
    doubts: tuple[str, ...] = ()
    digest: str = ""

    def line(self) -> str:
        """One line."""
        whole = "" if self.pairs == self.published_pairs else f" of {self.published_pairs:,}"
        return f"{self.dataset}: {self.pairs:,}{whole} pairs, {self.files:,} files in {self.folder}"

    def remarks(self) -> list[str]:
        """What is known of its release, a line each."""
        known = [f"{self.dataset}: {self.release}"] if self.release else []
        return known + [f"{self.dataset}: warning: {doubt}" for doubt in self.doubts]


def import_dataset(name: str, source: Path, root: Path, *, part: bool = False) -> Imported:
    """Lay set ``name`` out under ``root/<role>/`` from an archive or a folder.

    The set may lie deep inside ``source`` and in any tree of its catalogue entry. Its files are
    copied, others are left; a circulating copy of a set of input and target folders gets the
    official ones. What is imported appears under its final name only when it is whole and every
    pair has been found. What can be told of its release without reading all of it is told.

    Args:
        name: a catalogue key.
        source: a zip or tar archive, or a folder, or a MATLAB file in it.
        root: the folder of the official trees, e.g. ``data/paper``.
        part: take a folder of any name that reads as the set, whatever its number of pairs.

    Raises:
        DataError: for an unknown set or format, an archive that reaches outside itself, a link that
            leads out of the folder, a set that is not found or incomplete, one already there, or
            sizes that differ within a pair.
        DgunetError: if the disk is full or too small, or ``root`` may not be written.
    """
    info = dataset(name)
    if not source.exists():
        raise DataError(f"{source} does not exist.", "Name an archive or a folder.")
    source = source.absolute()
    if source.suffix == ".mat":
        source = source.parent  # SIDD and DND are several of them
    with files.writing(root):
        root.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            return _import_folder(info, source, root, part=part)
        with tempfile.TemporaryDirectory(prefix=".import-", suffix=".partial", dir=root) as work:
            check_space(unpacked_bytes(source), Path(work), root)
            unpack(source, Path(work))
            return _import_folder(info, Path(work), root, part=part, shown=source)


def find_set(
    info: DatasetInfo, source: Path, *, part: bool = False
) -> tuple[Tree, Path, list[Pair]]:
    """The tree of a set somewhere in ``source``: how it lies, its folder, its pairs.

    A folder named as a tree says is preferred; otherwise the first from the top that reads as one,
    has the published number of pairs (with ``part`` any number), and is not named as another set.

    Raises:
        DataError: if no folder reads as the set; says why the most likely one does not.
    """
    taken = {tree.folder for other in CATALOGUE.values() for tree in other.trees} - {
        tree.folder for tree in info.trees
    }
    folders = [
        folder
        for folder in _folders(source, DEPTH)
        if not taken & {source.name, *folder.relative_to(source).parts}
    ]
    named = [
        (tree, folder)
        for tree in info.trees
        for folder in folders
        if folder.as_posix().endswith("/" + tree.folder)
    ]
    refused: DataError | None = None
    partial: tuple[Path, int] | None = None
    # One half of another set would read as pictures of two halves: those need their name.
    others = [tree for tree in info.trees if tree.layout != "side-by-side"]
    for tree, folder in named + [(tree, folder) for folder in folders for tree in others]:
        try:
            pairs = LAYOUTS[tree.layout](folder, info.grey, **tree.options)
            refuse_lonely(pairs)
        except DataError as error:
            if (tree, folder) in named and refused is None:
                refused = error
            continue
        # Under a name of its own, only the right number of pairs speaks for the set.
        if pairs and ((tree, folder) in named or part or len(pairs) == info.pairs):
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


def _folders(top: Path, depth: int) -> Iterator[Path]:
    """Folders from the top down, a level at a time; hidden ones are left out."""
    level = [top]
    for _ in range(depth):
        yield from level
        level = [
            child
            for folder in level
            for child in sorted(folder.iterdir())
            if child.is_dir() and not child.name.startswith((".", "__MACOSX"))
        ]


def _import_folder(
    info: DatasetInfo, source: Path, root: Path, *, part: bool, shown: Path | None = None
) -> Imported:
    try:
        tree, folder, pairs = find_set(info, source, part=part)
    except DataError as error:
        if shown is None:
            raise
        raise DataError(error.message.replace(str(source), str(shown)), error.mend) from error
    wanted = _files_of(tree, folder, pairs)
    inside = source.resolve()
    for path in wanted:
        if not path.resolve().is_relative_to(inside):
            raise DataError(
                f"{path} is a link that leads out of {shown or source}.",
                "Replace it by the file it names.",
            )
        if not path.is_file():
            raise DataError(f"{path} is a link to nothing.", "Replace it by the file it names.")
    official = _official_places(info, tree, pairs)
    home = info.trees[0] if official else info.home(tree)
    target = root / info.role / home.folder
    _refuse_present(find_present(info, root) or target)
    seen = _glanced(info, pairs, source, shown)
    places = official or {path: path.relative_to(folder) for path in wanted}
    # What was unpacked for this import is its own; the file of a link may be wanted twice.
    _lay_out(places, target, move=shown is not None and not any(p.is_symlink() for p in wanted))
    counts = len(pairs), info.pairs, len(wanted)
    told = known_as(info, seen), tuple(doubts(info, seen)), seen.digest
    return Imported(info.name, target, *counts, *told)


def _glanced(info: DatasetInfo, pairs: list[Pair], source: Path, shown: Path | None) -> Seen:
    try:
        return glance(info, pairs)
    except DataError as error:
        name = str(shown or source)
        raise DataError(error.message.replace(str(source), name), error.mend) from error


def _official_places(info: DatasetInfo, tree: Tree, pairs: list[Pair]) -> dict[Path, Path]:
    """Where a copy's pictures lie in the official tree of input and target folders.

    Empty for the official tree itself, and for sets that have another one.
    """
    official = info.trees[0]
    if official.layout != "paired-folders" or tree.layout not in ("paired-folders", "prefixed"):
        return {}
    if tree.layout == official.layout and tree.options == official.options:
        return {}
    return {
        half.path: Path(official.options.get(kind, kind)) / f"{pair.id}{half.path.suffix}"
        for pair in pairs
        for kind, half in (("input", pair.input), ("target", pair.target))
        if half is not None
    }


def _files_of(tree: Tree, folder: Path, pairs: list[Pair]) -> list[Path]:
    pictures = [p.path for pair in pairs for p in (pair.input, pair.target) if p is not None]
    indexes = [
        folder / str(tree.options.get(index, index)) for index in INDEXES.get(tree.layout, ())
    ]
    return list(dict.fromkeys(indexes + pictures))


def _lay_out(wanted: dict[Path, Path], target: Path, *, move: bool) -> None:
    """Copy or move files to their places under ``target``: all of them, or none."""
    if not move:
        parent = next(folder for folder in target.parents if folder.is_dir())
        check_space(sum(path.stat().st_size for path in wanted), parent, target)
    with files.atomic_folder(target) as work:
        for path, place in wanted.items():
            (work / place).parent.mkdir(parents=True, exist_ok=True)
            if move:
                path.rename(work / place)
            else:
                shutil.copyfile(path, work / place)
        _refuse_present(target)  # another import may have been faster


def _refuse_present(target: Path) -> None:
    if target.exists():
        raise DataError(f"{target} is there already.", "Move the old set away first.")
