"""Import of a dataset from an archive or a folder, at any depth, into its official tree."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from dgunet.data.acquisition.searching import find_dataset
from dgunet.data.acquisition.unpacking import DATASET_SUFFIXES, check_space, unpack
from dgunet.data.catalogue.entries import DatasetInfo, DatasetTree, dataset
from dgunet.data.readers.folder_layouts import find_present
from dgunet.data.readers.pairing import Pair
from dgunet.data.store.recognition import ReleaseMeasurements
from dgunet.data.store.releases import measure_quickly, release_doubts, release_name
from dgunet.system import files, leftovers
from dgunet.system.errors import DataError
from dgunet.system.hidden_files import has_hidden_part
from dgunet.system.reading import shorten
from dgunet.system.safe_paths import inside

INDEXES = {"listed": ("listing",), "dnd": ("info.mat",)}
"""Index files of a layout: the option that names one, or the name itself."""


@dataclass(frozen=True)
class ImportResult:
    """Result of an import.

    Attributes:
        dataset: catalogue name.
        folder: folder of the imported dataset.
        pairs: number of imported pairs.
        published_pairs: number of pairs of the published release.
        files: number of imported files.
        release: name of the release with these pixels, "" if it is unknown.
        doubts: reasons why this is not the benchmark's release.
        digest: digest of the pixels; "" if the catalogue has no digest of this dataset.
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
        """Summary in one line."""
        total = f" of {self.published_pairs:,}" if self.pairs < self.published_pairs else ""
        return f"{self.dataset}: {self.pairs:,}{total} pairs, {self.files:,} files in {self.folder}"

    def remarks(self) -> list[str]:
        """Facts about its release, one line each."""
        known = [f"{self.dataset}: {self.release}"] if self.release else []
        return known + [f"{self.dataset}: warning: {doubt}" for doubt in self.doubts]


def import_dataset(name: str, source: Path, root: Path, *, part: bool = False) -> ImportResult:
    """Import dataset ``name`` from an archive or a folder into ``root/<role>/``.

    The dataset may be at any depth of ``source`` and in any tree of its catalogue entry. Only its
    files are copied. A circulating copy of a dataset with input and target folders is stored in the
    official folders. The dataset appears under its final name only when it is complete and every
    pair has been found. Its release is identified by
    `dgunet.data.store.releases.measure_quickly`.

    Args:
        name: a catalogue name.
        source: a zip or tar archive, a folder, or a MATLAB file in it, which stands for the folder.
        root: the folder of the official trees, e.g. ``data/paper``.
        part: accept a folder of any name with the right layout, whatever its number of pairs.

    Raises:
        DataError: for an unknown dataset or format, an archive, list or link that points outside
            the folder, a file that is not an image by its content, a dataset that is not found, is
            incomplete or already exists, or sizes that differ within a pair.
        DgunetError: if the disk is full or too small, or ``root`` is not writable.
    """
    info = dataset(name)
    if not source.exists():
        raise DataError(f"{source} does not exist.", "Give an archive or a folder.")
    source = source.absolute()
    if source.suffix == ".mat":
        source = source.parent  # SIDD and DND consist of several such files
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
) -> ImportResult:
    try:
        tree, folder, pairs = find_dataset(info, source, part=part)
    except DataError as error:
        if shown is None:
            raise
        raise DataError(error.message.replace(str(source), str(shown)), error.hint) from error
    needed = _files_of(tree, folder, pairs)
    _check_files(needed, source, shown)
    official = _official_paths(info, tree, pairs)
    home = info.trees[0] if official else info.home(tree)
    target = root / info.role / home.folder
    _refuse_present(find_present(info, root) or target)
    measured = _measured(info, pairs, source, shown)
    destinations = official or {path: path.relative_to(folder) for path in needed}
    # Files that were unpacked for this import may be moved.
    _place_files(destinations, target, move=shown is not None)
    return ImportResult(
        info.name,
        target,
        len(pairs),
        info.pairs,
        len(needed),
        release_name(info, measured),
        tuple(release_doubts(info, measured)),
        measured.digest,
    )


def _check_files(needed: list[Path], source: Path, shown: Path | None) -> None:
    """Refuse links that point outside ``source``, and everything that is not a regular file."""
    home = source.resolve()
    for path in needed:
        if not path.resolve().is_relative_to(home):
            raise DataError(
                f"{path} is a link that points outside {shown or source}.",
                "Replace it with the file it refers to.",
            )
        if not path.is_file():
            what = "a dangling link" if path.is_symlink() else "not a regular file"
            raise DataError(f"{path} is {what}.", "Replace it with a regular file.")


def _measured(
    info: DatasetInfo, pairs: list[Pair], source: Path, shown: Path | None
) -> ReleaseMeasurements:
    try:
        return measure_quickly(info, pairs)
    except DataError as error:
        name = str(shown or source)
        raise DataError(error.message.replace(str(source), name), error.hint) from error


def _official_paths(info: DatasetInfo, tree: DatasetTree, pairs: list[Pair]) -> dict[Path, Path]:
    """Paths of a copy's images in the official tree of input and target folders.

    Empty for the official tree itself, and for datasets whose official tree has another layout.
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


def _files_of(tree: DatasetTree, folder: Path, pairs: list[Pair]) -> list[Path]:
    images = [p.path for pair in pairs for p in (pair.input, pair.target) if p is not None]
    indexes = [
        folder / str(tree.options.get(index, index)) for index in INDEXES.get(tree.layout, ())
    ]
    return list(dict.fromkeys(indexes + images))


def _place_files(destinations: dict[Path, Path], target: Path, *, move: bool) -> None:
    """Copy or move files to their destinations under ``target``: all of them, or none.

    The names in a list, an archive or a record are not trusted: every destination is under
    ``target`` and has the suffix of an image, a MATLAB file or a list. No file is executable.
    """
    if not move:
        parent = next(folder for folder in target.parents if folder.is_dir())
        check_space(sum(path.stat().st_size for path in destinations), parent, target)
    with files.atomic_folder(target) as work:
        for path, destination in destinations.items():
            name = destination.as_posix()
            final = inside(work, name, origin=f"the dataset from {path.parent}", links=False)
            if final.suffix.lower() not in DATASET_SUFFIXES or has_hidden_part(name):
                raise DataError(
                    f"{path} would become {shorten(name)}, which is not the name of an image.",
                    "Rename it.",
                )
            final.parent.mkdir(parents=True, exist_ok=True)
            if move:
                path.rename(final)
            else:
                shutil.copyfile(path, final)  # without the permissions
        _refuse_present(target)  # another import may have finished first


def _refuse_present(target: Path) -> None:
    if target.exists():
        raise DataError(f"{target} already exists.", "Move it away first.")
