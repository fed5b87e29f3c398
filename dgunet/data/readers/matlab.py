"""Reader of SIDD's blocks, which are arrays in MATLAB files."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgunet.data.readers.hdf5 import own_item
from dgunet.data.readers.images import Pixels
from dgunet.system.errors import DataError

DOWNLOAD_AGAIN = "The file is damaged or of another release: download it again."

SIDD_BYTES = range(1, 1 << 32)
"""Accepted sizes of one file's blocks in bytes; the published ones have 251,658,240."""


@dataclass(frozen=True)
class ArrayImage:
    """A part of an array in a MATLAB file; ``read`` decodes it and can be pickled for workers."""

    path: Path
    size: tuple[int, int, int]
    read: Callable[[], Pixels]

    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) from the file's index."""
        return self.size

    def kind(self) -> str:
        """``MATLAB RGB``; the arrays of both datasets have three channels."""
        return "MATLAB RGB"

    def load(self) -> Pixels:
        """Decode the pixels of this part."""
        return self.read()


def sidd_blocks(path: Path, variable: str) -> dict[str, ArrayImage]:
    """Blocks of one SIDD file by id ``SSSS_BBBB`` (scene, block, both from 1).

    The variable is uint8 (scenes, blocks, H, W, 3), in MATLAB 5 or 7.3 format.

    Raises:
        DataError: if the file is missing, damaged, or holds something else.
    """
    scenes, blocks, *size = _sidd_shape(path, variable)
    height, width, channels = size

    return {
        f"{s + 1:04d}_{b + 1:04d}": ArrayImage(
            path, (height, width, channels), partial(_sidd_block, path, variable, s, b)
        )
        for s in range(scenes)
        for b in range(blocks)
    }


def _sidd_block(path: Path, variable: str, scene: int, block: int) -> Pixels:
    pixels: Pixels = _sidd_array(path, variable, stamp_of(path))[scene, block]
    return pixels


def _sidd_shape(path: Path, variable: str) -> tuple[int, ...]:
    refuse_missing(path)
    try:
        found = variables_of(path)
    except Exception as error:  # scipy's parser may raise anything
        raise DataError(
            f"{path} is not a readable MATLAB file ({error}).", DOWNLOAD_AGAIN
        ) from error
    shape, kind = found.get(variable, ((), "nothing"))
    if kind != "uint8" or len(shape) != 5 or shape[-1] != 3 or math.prod(shape) not in SIDD_BYTES:
        raise DataError(
            f"{path}: {variable} is {kind} {shape}, expected uint8 (scenes, blocks, H, W, 3).",
            DOWNLOAD_AGAIN,
        )
    return tuple(shape)


@lru_cache(maxsize=2)
def _sidd_array(path: Path, variable: str, stamp: int) -> NDArray[np.uint8]:
    try:
        array: NDArray[np.uint8] = read_variable(path, variable)
        if array.shape != _sidd_shape(path, variable) or array.dtype != np.uint8:
            raise ValueError(f"{variable} is {array.dtype} {array.shape}")
    except Exception as error:  # truncated data raises errors of zlib, struct or numpy
        raise DataError(f"{path} is truncated or damaged ({error}).", DOWNLOAD_AGAIN) from error
    return array


def read_variable(path: Path, variable: str) -> NDArray[Any]:
    """Read a numeric array of a MATLAB 5 (scipy) or 7.3 (HDF5) file, in MATLAB's axis order.

    Raises:
        KeyError: if the file has no such array.
        Exception: of any type, if the file is damaged.
    """
    import h5py  # here, because only the MATLAB datasets need it
    from scipy.io import loadmat

    if not h5py.is_hdf5(path):
        array: NDArray[Any] = loadmat(path, variable_names=[variable])[variable]
        return array
    with h5py.File(path, "r") as handle:
        if not isinstance(found := own_item(handle, variable), h5py.Dataset):
            raise KeyError(f"{variable} is not an array")
        return np.array(found).T  # MATLAB is column-major


def variables_of(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and type of every variable of a MATLAB 5 or 7.3 file, in MATLAB's axis order.

    Raises:
        Exception: of any type, if the file is damaged.
    """
    import h5py  # here, because only the MATLAB datasets need it
    from scipy.io import whosmat

    if not h5py.is_hdf5(path):
        return {name: (shape, kind) for name, shape, kind in whosmat(path)}
    with h5py.File(path, "r") as handle:
        found = {name: own_item(handle, name) for name in handle}
        arrays = {name: item for name, item in found.items() if isinstance(item, h5py.Dataset)}
        return {name: (item.shape[::-1], str(item.dtype)) for name, item in arrays.items()}


def stamp_of(path: Path) -> int:
    """Modification time in ns, which distinguishes a rewritten file from the cached one."""
    return path.stat().st_mtime_ns


def refuse_missing(path: Path) -> None:
    """Raise `DataError` if ``path`` is not a file."""
    if not path.is_file():
        raise DataError(f"{path} does not exist.", "The dataset is incomplete: download it again.")
