"""From an official tree to a prepared store: `prepare_dataset`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from dgunet import files
from dgunet.data.catalogue import DatasetInfo, dataset
from dgunet.data.images import Picture
from dgunet.data.layouts import Pair, check_shapes, read_pairs
from dgunet.data.quality import looks_swapped, roughness
from dgunet.data.store import LoadedPair, Source, StoreManifest, write_store
from dgunet.errors import DataError

RECIPE = "whole"
"""Whole photographs, pixels as they decode; patches are cut when training asks for them."""

Observe = Callable[[int, int], None]
"""Called with (pairs written, pairs in all) after each pair."""


def prepare_dataset(
    name: str,
    root: Path,
    out: Path,
    *,
    profile: str,
    observe: Observe | None = None,
) -> StoreManifest:
    """Check the tree of set ``name`` under ``root`` and write its store to ``out``.

    The same input gives byte-identical files. ``out`` appears only when it is whole.

    Args:
        name: a catalogue key.
        root: the folder that holds the official trees, e.g. ``data/sample``.
        out: the store's folder; replaced if it is there.
        profile: ``sample`` or ``paper``; a sample store is never complete.
        observe: progress.

    Raises:
        DataError: if the set is unknown, missing, incomplete, mixed up or corrupt.
        DgunetError: if the disk is full or ``out`` may not be written.
    """
    info = dataset(name)
    pairs = read_pairs(info, root)
    _check_space(pairs, out)
    return write_store(
        out,
        _decoded(info, pairs, root, observe or (lambda done, total: None)),
        dataset=info.name,
        task=info.task,
        role=info.role,
        profile=profile,
        published_count=info.pairs,
        complete=profile != "sample" and len(pairs) == info.pairs,
        protocol=info.protocol,
        recipe=RECIPE,
    )


def source_paths(info: DatasetInfo, root: Path) -> list[Path]:
    """The files a set is read from, in the order of its records, each once."""
    pictures = (
        picture
        for pair in read_pairs(info, root)
        for picture in (pair.input, pair.target)
        if picture is not None
    )
    return list(dict.fromkeys(picture.path for picture in pictures))


def _check_space(pairs: list[Pair], out: Path) -> None:
    """Refuse before starting what could not be finished; also checks the sizes within pairs."""
    need = 0
    for pair in pairs:
        height, width, channels = check_shapes(pair)
        images = (pair.input is not None) + (pair.target is not None)
        depth = 4 if pair.target is None else 1
        need += height * width * channels * images * depth
    parent = next(folder for folder in (out, *out.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(parent).free
    if need > free:
        raise DataError(
            f"{out} needs {need / 1e9:.1f} GB and the disk has {free / 1e9:.1f} GB free.",
            "Free some space, or choose another --out.",
        )


def _decoded(
    info: DatasetInfo, pairs: list[Pair], root: Path, observe: Observe
) -> Iterator[LoadedPair]:
    digests: dict[Path, str] = {}
    rougher = compared = 0

    def source(picture: Picture | None) -> Source | None:
        if picture is None:
            return None
        if picture.path not in digests:
            digests[picture.path] = files.sha256_file(picture.path)
        return Source(picture.path.relative_to(root).as_posix(), digests[picture.path])

    for done, pair in enumerate(pairs, start=1):
        degraded, clean = (
            None if picture is None else np.ascontiguousarray(picture.load())
            for picture in (pair.input, pair.target)
        )
        if degraded is not None and clean is not None:
            compared += 1
            rougher += roughness(degraded) > roughness(clean)
        yield LoadedPair(pair.id, degraded, clean, source(pair.input), source(pair.target))
        observe(done, len(pairs))
    if compared and looks_swapped(info.task, rougher / compared):
        raise DataError(
            f"{info.name}: input and target look swapped: {rougher} of {compared} inputs have more"
            " detail than their targets.",
            "Rename the two folders.",
        )
