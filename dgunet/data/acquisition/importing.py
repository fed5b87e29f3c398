"""Bringing a set in: from an archive or a folder, however it is nested, to its official tree."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from dgunet.data.acquisition.members import is_hidden
from dgunet.data.acquisition.searching import find_set
from dgunet.data.acquisition.unpacking import TAKEN, check_space, unpack
from dgunet.data.catalogue.entries import DatasetInfo, Tree, dataset
from dgunet.data.readers.folder_layouts import find_present
from dgunet.data.readers.pairing import Pair
from dgunet.data.store.releases import Seen, doubts, glance, known_as
from dgunet.system import files, leftovers
from dgunet.system.errors import DataError
from dgunet.system.reading import shorten
from dgunet.system.safe_paths import inside

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
        DataError: for an unknown set or format, an archive or a list that reaches outside, a link
            that leads out of the folder, a file that is no picture by its content, a set that is
            not found or incomplete, one already there, or sizes that differ within a pair.
        DgunetError: if the disk is full or too small, or ``root`` may not be written.
    """
    info = dataset(name)
    if not source.exists():
        raise DataError(f"{source} does not exist.", "Name an archive or a folder.")
    source = source.absolute()
    if source.suffix == ".mat":
        source = source.parent  # SIDD and DND are several of them
    with files.writing(root):
        files.make_folder(root)
        if source.is_dir():
            leftovers.remove_dead(root)
            return _import_folder(info, source, root, part=part)
        with files.partial_folder(root / "import") as work:
            unpack(source, work)
            return _import_folder(info, work, root, part=part, shown=source)


def _import_folder(
    info: DatasetInfo, source: Path, root: Path, *, part: bool, shown: Path | None = None
) -> Imported:
    try:
        tree, folder, pairs = find_set(info, source, part=part)
    except DataError as error:
        if shown is None:
            raise
        raise DataError(error.message.replace(str(source), str(shown)), error.hint) from error
    wanted = _files_of(tree, folder, pairs)
    _check_wanted(wanted, source, shown)
    official = _official_places(info, tree, pairs)
    home = info.trees[0] if official else info.home(tree)
    target = root / info.role / home.folder
    _refuse_present(find_present(info, root) or target)
    seen = _glanced(info, pairs, source, shown)
    places = official or {path: path.relative_to(folder) for path in wanted}
    # What was unpacked for this import is its own.
    _lay_out(places, target, move=shown is not None)
    counts = len(pairs), info.pairs, len(wanted)
    told = known_as(info, seen), tuple(doubts(info, seen)), seen.digest
    return Imported(info.name, target, *counts, *told)


def _check_wanted(wanted: list[Path], source: Path, shown: Path | None) -> None:
    """Refuse links that lead out of ``source``, and what is no file."""
    home = source.resolve()
    for path in wanted:
        if not path.resolve().is_relative_to(home):
            raise DataError(
                f"{path} is a link that leads out of {shown or source}.",
                "Replace it by the file it names.",
            )
        if not path.is_file():
            what = "a link to nothing" if path.is_symlink() else "not a regular file"
            raise DataError(f"{path} is {what}.", "Replace it by the file it names.")


def _glanced(info: DatasetInfo, pairs: list[Pair], source: Path, shown: Path | None) -> Seen:
    try:
        return glance(info, pairs)
    except DataError as error:
        name = str(shown or source)
        raise DataError(error.message.replace(str(source), name), error.hint) from error


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
    """Copy or move files to their places under ``target``: all of them, or none.

    Whatever a list, an archive or a record's name says, every place lies under ``target``, and
    every file is named as a picture, a MATLAB file or a list; nothing is executable.
    """
    if not move:
        parent = next(folder for folder in target.parents if folder.is_dir())
        check_space(sum(path.stat().st_size for path in wanted), parent, target)
    with files.atomic_folder(target) as work:
        for path, place in wanted.items():
            name = place.as_posix()
            there = inside(work, name, origin=f"the set from {path.parent}", links=False)
            if there.suffix.lower() not in TAKEN or is_hidden(name):
                raise DataError(
                    f"{path} would become {shorten(name)}, which is no name of a picture.",
                    "Rename it.",
                )
            there.parent.mkdir(parents=True, exist_ok=True)
            if move:
                path.rename(there)
            else:
                shutil.copyfile(path, there)  # the content, not the rights
        _refuse_present(target)  # another import may have been faster


def _refuse_present(target: Path) -> None:
    if target.exists():
        raise DataError(f"{target} is there already.", "Move the old set away first.")
