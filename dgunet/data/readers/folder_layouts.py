"""Folder layouts of the datasets: one reader per layout, which lists pairs without decoding them.

Pairs are matched by name, never by their position in a listing.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from dgunet.data.catalogue.entries import CATALOGUE, FURTHER, DatasetInfo, DatasetTree
from dgunet.data.readers.dnd_files import dnd_boxes
from dgunet.data.readers.images import FileImage, HalfImage
from dgunet.data.readers.matlab import sidd_blocks
from dgunet.data.readers.pair_lists import read_list
from dgunet.data.readers.pairing import (
    Pair,
    folders_in,
    images_in,
    match,
    natural,
    refuse_unpaired,
)
from dgunet.system.errors import DataError


def find_tree(info: DatasetInfo, root: Path) -> tuple[DatasetTree, Path]:
    """Find the tree of ``info`` under ``root``, and its folder.

    If trees share a folder, the first one that can be read is chosen.

    Raises:
        DataError: if none of the known trees exists; the message names the expected folder.
    """
    candidates = info.candidates(root)
    present = [(tree, folder) for tree, folder in candidates if folder.is_dir()]
    for tree, folder in present if len(present) > 1 else ():
        if _is_readable(info, tree, folder):
            return tree, folder
    if present:
        return present[0]
    official, folder = candidates[0]
    raise DataError(
        f"{info.name} is not under {root}: there is no folder {folder}.",
        f"Expected there: {official.folder} with {info.naming}. `dvc pull data` fetches the sample;"
        " docs/data.md describes how to add the real archives.",
    )


def find_present(info: DatasetInfo, root: Path) -> Path | None:
    """Folder under ``root`` with an earlier import of ``info``, None if there is none.

    A folder that several datasets share, such as RealBlur, counts only if it can be read as this
    one.
    """
    others = {
        tree.folder
        for other in (*CATALOGUE.values(), *FURTHER.values())
        if other.role == info.role and other.name != info.name
        for tree in other.trees
    }
    for tree in info.trees:
        folder = root / info.role / tree.folder
        if folder.exists() and (tree.folder not in others or _is_readable(info, tree, folder)):
            return folder
    return None


def datasets_under(root: Path) -> list[str]:
    """Names of the datasets under ``root``, in the catalogue's order.

    A further dataset that shares its folder with one of the sixteen counts only if it can be read.
    """

    def is_present(info: DatasetInfo) -> bool:
        return any(
            folder.is_dir()
            and (not info.further or tree.folder not in common or _is_readable(info, tree, folder))
            for tree, folder in info.candidates(root)
        )

    common = {tree.folder for info in CATALOGUE.values() for tree in info.trees}
    return [info.name for info in (*CATALOGUE.values(), *FURTHER.values()) if is_present(info)]


def _is_readable(info: DatasetInfo, tree: DatasetTree, folder: Path) -> bool:
    try:
        return bool(LAYOUTS[tree.layout](folder, info.grey, **tree.options))
    except DataError:
        return False


def read_pairs(info: DatasetInfo, root: Path, *, unpaired: bool = False) -> list[Pair]:
    """All pairs of a dataset in natural order of their ids, none decoded.

    Args:
        info: catalogue entry of the dataset.
        root: the folder of the official trees.
        unpaired: also return images without a counterpart, as pairs with ``lacks``.

    Raises:
        DataError: if the dataset is missing or empty, or an image has no counterpart.
    """
    tree, folder = find_tree(info, root)
    pairs = LAYOUTS[tree.layout](folder, info.grey, **tree.options)
    if not unpaired:
        refuse_unpaired(pairs)
    if not pairs:
        raise DataError(f"{info.name}: no image in {folder}.", f"Expected: {info.naming}.")
    pairs.sort(key=lambda pair: natural(pair.id))
    for first, second in pairwise(pairs):
        if first.id == second.id:
            raise DataError(
                f"{info.name}: two pairs are called {first.id} in {folder}.",
                "Two releases are mixed: import the dataset again from the archive.",
            )
    return pairs


def _paired_folders(
    folder: Path, grey: bool, input: str = "input", target: str = "target"
) -> list[Pair]:
    return match(images_in(folder / input), images_in(folder / target), grey=grey)


def _sequences(
    folder: Path, grey: bool, within: str, input: str = "blur", target: str = "sharp"
) -> list[Pair]:
    base = folder / within
    if not base.is_dir():
        raise DataError(f"there is no folder {base}.", "The archive has train and test.")
    pairs: list[Pair] = []
    for sequence in folders_in(base):
        inputs, targets = images_in(sequence / input), images_in(sequence / target)
        pairs += match(inputs, targets, prefix=f"{sequence.name}-", grey=grey)
    return pairs


def _split_inputs(folder: Path, grey: bool, inputs: list[str], target: str) -> list[Pair]:
    targets = images_in(folder / target)
    pairs: list[Pair] = []
    for subfolder in inputs:
        degraded = images_in(folder / subfolder)
        # The clean folder also has the targets of the training half.
        matching = {name: path for name, path in targets.items() if name in degraded}
        pairs += match(degraded, matching, grey=grey)
    return pairs


def _listed(folder: Path, grey: bool, listing: str) -> list[Pair]:
    return read_list(folder, listing, grey=grey)


def _repeated(folder: Path, grey: bool, parts: list[str], input: str, target: str) -> list[Pair]:
    pairs: list[Pair] = []
    for part in parts:
        inputs, targets = (images_in(folder / part / half) for half in (input, target))
        # N_1, N_2, ... are degraded versions of N.
        partners = {name: targets[n] for name in inputs if (n := name.split("_")[0]) in targets}
        pairs += match(inputs, partners, prefix=f"{part}-", grey=grey)
    return pairs


def _prefixed(folder: Path, grey: bool, input: str, target: str) -> list[Pair]:
    """``input`` and ``target`` are prefixes of file names, after an optional folder."""
    inputs, targets = (
        {
            name.removeprefix(prefix): path
            for name, path in images_in(folder / subfolder if subfolder else folder).items()
            if name.startswith(prefix)
        }
        for subfolder, _, prefix in (half.rpartition("/") for half in (input, target))
    )
    return match(inputs, targets, grey=grey)


def _side_by_side(folder: Path, grey: bool, input: str) -> list[Pair]:
    """Both images of a pair in one file; ``input`` is the degraded half, left or right."""
    return [
        Pair(name, HalfImage(path, left=input == "left"), HalfImage(path, left=input != "left"))
        for name, path in images_in(folder).items()
    ]


def _sidd_scenes(folder: Path, grey: bool) -> list[Pair]:
    base = folder / "Data"
    if not base.is_dir():
        raise DataError(f"there is no folder {base}.", "SIDD-Medium has its scenes in Data.")
    pairs: list[Pair] = []
    for scene in folders_in(base):
        files = images_in(scene)
        noisy, clean = (
            {n.replace(f"{kind}_SRGB", "SRGB"): p for n, p in files.items() if f"{kind}_SRGB" in n}
            for kind in ("NOISY", "GT")
        )
        pairs += match(noisy, clean, prefix=f"{scene.name}-", grey=grey)
    return pairs


_BENCHMARK = "BenchmarkNoisyBlocksSrgb"


def _sidd_blocks(folder: Path, grey: bool) -> list[Pair]:
    name = "ValidationNoisyBlocksSrgb"
    other = folder / f"{_BENCHMARK}.mat"
    if other.is_file() and not (folder / f"{name}.mat").is_file():
        raise DataError(
            f"{other} is SIDD's benchmark, which has no clean images; the tables need the"
            " validation blocks.",
            f"Download {name}.mat and ValidationGtBlocksSrgb.mat; this file is SIDD-benchmark.",
        )
    noisy = sidd_blocks(folder / f"{name}.mat", name)
    clean = sidd_blocks(folder / "ValidationGtBlocksSrgb.mat", "ValidationGtBlocksSrgb")
    if noisy.keys() != clean.keys():
        raise DataError(
            f"{folder}: {len(noisy)} noisy and {len(clean)} clean blocks.",
            "The two files belong to different releases: download both again.",
        )
    return [Pair(key, block, clean[key]) for key, block in noisy.items()]


def _sidd_benchmark(folder: Path, grey: bool) -> list[Pair]:
    blocks = sidd_blocks(folder / f"{_BENCHMARK}.mat", _BENCHMARK)
    return [Pair(key, block, None) for key, block in blocks.items()]


def _dnd(folder: Path, grey: bool) -> list[Pair]:
    return [Pair(key, box, None) for key, box in dnd_boxes(folder).items()]


def _grey_images(folder: Path, grey: bool) -> list[Pair]:
    return [Pair(name, None, FileImage(path, grey)) for name, path in images_in(folder).items()]


LAYOUTS: dict[str, Callable[..., list[Pair]]] = {
    "paired-folders": _paired_folders,
    "sequences": _sequences,
    "split-inputs": _split_inputs,
    "listed": _listed,
    "repeated": _repeated,
    "prefixed": _prefixed,
    "side-by-side": _side_by_side,
    "sidd-scenes": _sidd_scenes,
    "sidd-blocks": _sidd_blocks,
    "sidd-benchmark": _sidd_benchmark,
    "dnd": _dnd,
    "grey-images": _grey_images,
}
"""Readers by their name in the catalogue."""
