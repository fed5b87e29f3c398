"""The two sets that come as MATLAB files: SIDD's validation blocks and DND's boxes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgunet.data.images import Pixels
from dgunet.errors import DataError

_AGAIN = "The file is damaged or of another release: bring it again from the archive."


@dataclass(frozen=True)
class ArrayPicture:
    """A part of an array inside a MATLAB file; ``read`` decodes it (and pickles, for workers)."""

    path: Path
    size: tuple[int, int, int]
    read: Callable[[], Pixels]

    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) as the file's index says."""
        return self.size

    def kind(self) -> str:
        """``MATLAB RGB``; the arrays of both sets have three channels."""
        return "MATLAB RGB"

    def load(self) -> Pixels:
        """The pixels of this part."""
        return self.read()


def sidd_blocks(path: Path, variable: str) -> dict[str, ArrayPicture]:
    """The blocks of one SIDD validation file by ``SSSS_BBBB`` (scene, block, from 1).

    The variable is uint8 (scenes, blocks, H, W, 3), in a file of MATLAB 5 or 7.3.

    Raises:
        DataError: if the file is missing, damaged, or holds something else.
    """
    scenes, blocks, *size = _sidd_shape(path, variable)
    height, width, channels = size

    return {
        f"{s + 1:04d}_{b + 1:04d}": ArrayPicture(
            path, (height, width, channels), partial(_sidd_block, path, variable, s, b)
        )
        for s in range(scenes)
        for b in range(blocks)
    }


def _sidd_block(path: Path, variable: str, scene: int, block: int) -> Pixels:
    pixels: Pixels = _sidd_array(path, variable, _stamp(path))[scene, block]
    return pixels


def _sidd_shape(path: Path, variable: str) -> tuple[int, ...]:
    _refuse_missing(path)
    try:
        found = _variables(path)
    except Exception as error:  # scipy raises what its parser stumbles over
        raise DataError(f"{path} is not a readable MATLAB file ({error}).", _AGAIN) from error
    shape, kind = found.get(variable, ((), "nothing"))
    if kind != "uint8" or len(shape) != 5 or shape[-1] != 3:
        raise DataError(
            f"{path}: {variable} is {kind} {shape}, expected uint8 (scenes, blocks, H, W, 3).",
            _AGAIN,
        )
    return tuple(shape)


@lru_cache(maxsize=2)
def _sidd_array(path: Path, variable: str, stamp: int) -> NDArray[np.uint8]:
    try:
        array: NDArray[np.uint8] = read_variable(path, variable)
    except Exception as error:  # a truncated stream fails in zlib, in struct or in numpy
        raise DataError(f"{path} is cut off or damaged ({error}).", _AGAIN) from error
    return array


def read_variable(path: Path, variable: str) -> NDArray[Any]:
    """A numeric array of a file of MATLAB 5 (scipy) or 7.3 (HDF5), in MATLAB's order of axes.

    Raises:
        KeyError: if the file has no such array.
        Exception: whatever the parsers stumble over in a damaged file.
    """
    import h5py
    from scipy.io import loadmat

    if not h5py.is_hdf5(path):
        array: NDArray[Any] = loadmat(path, variable_names=[variable])[variable]
        return array
    with h5py.File(path, "r") as handle:
        if not isinstance(handle[variable], h5py.Dataset):
            raise KeyError(f"{variable} is no array")
        return np.array(handle[variable]).T  # MATLAB is column-major


def _variables(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and kind of every variable."""
    import h5py
    from scipy.io import whosmat

    if not h5py.is_hdf5(path):
        return {name: (shape, kind) for name, shape, kind in whosmat(path)}
    with h5py.File(path, "r") as handle:
        arrays = {name: item for name, item in handle.items() if isinstance(item, h5py.Dataset)}
        return {name: (item.shape[::-1], str(item.dtype)) for name, item in arrays.items()}


def dnd_boxes(folder: Path) -> dict[str, ArrayPicture]:
    """The boxes of DND by ``NNNN_BB`` (image, box, from 1): float32 in [0, 1].

    ``info.mat`` keeps a matrix of rows (r0, c0, r1, c1) for each image, counted from 1 and
    inclusive; HDF5 stores every array transposed.

    Raises:
        DataError: if a file is missing, damaged, or a box lies outside its image.
    """
    import h5py

    info = folder / "info.mat"
    _refuse_missing(info)
    boxes: dict[str, ArrayPicture] = {}
    try:
        with h5py.File(info, "r") as handle:
            references = handle["info"]["boundingboxes"]
            matrices = [np.array(handle[ref]).T.astype(int) for ref in references[0]]
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{info} is not DND's index ({error}).", _AGAIN) from error
    for number, matrix in enumerate(matrices, start=1):
        path = folder / "images_srgb" / f"{number:04d}.mat"
        height, width, channels = _dnd_shape(path)
        for row, (r0, c0, r1, c1) in enumerate(matrix.tolist(), start=1):
            if not (1 <= r0 <= r1 <= height and 1 <= c0 <= c1 <= width):
                raise DataError(
                    f"{info}: box {row} of image {number} ({r0}, {c0}, {r1}, {c1}) is not inside"
                    f" {path} of {height} rows and {width} columns.",
                    _AGAIN,
                )
            size = (r1 - r0 + 1, c1 - c0 + 1, channels)
            boxes[f"{number:04d}_{row:02d}"] = ArrayPicture(
                path, size, partial(_dnd_box, path, r0 - 1, c0 - 1, r1, c1)
            )
    return boxes


def _dnd_box(path: Path, top: int, left: int, bottom: int, right: int) -> Pixels:
    return _dnd_image(path, _stamp(path))[top:bottom, left:right]


def _dnd_shape(path: Path) -> tuple[int, int, int]:
    import h5py

    _refuse_missing(path)
    try:
        with h5py.File(path, "r") as handle:
            channels, width, height = handle["InoisySRGB"].shape
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{path} is not an image of DND ({error}).", _AGAIN) from error
    return int(height), int(width), int(channels)


@lru_cache(maxsize=1)
def _dnd_image(path: Path, stamp: int) -> NDArray[np.float32]:
    import h5py

    try:
        with h5py.File(path, "r") as handle:
            return np.array(handle["InoisySRGB"], dtype=np.float32).T
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{path} is cut off or damaged ({error}).", _AGAIN) from error


def _stamp(path: Path) -> int:
    """What tells a rewritten file from the cached one."""
    return path.stat().st_mtime_ns


def _refuse_missing(path: Path) -> None:
    if not path.is_file():
        raise DataError(f"{path} does not exist.", "The set is incomplete: bring it again.")
