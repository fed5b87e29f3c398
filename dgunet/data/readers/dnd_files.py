"""Reader of DND's HDF5 files: an index of boxes, and one file of floats per photograph."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgunet.data.readers.hdf5 import own_data, own_item
from dgunet.data.readers.images import Pixels
from dgunet.data.readers.limits import PIXELS
from dgunet.data.readers.matlab import DOWNLOAD_AGAIN, ArrayImage, refuse_missing, stamp_of
from dgunet.system.errors import DataError

IMAGES, BOXES = 1000, 1000
"""Maximum number of photographs in an index, and of boxes in each; DND has 50 and 20."""

ROUNDING = 1e-6
"""Tolerance of float32 values outside [0, 1]."""

_VARIABLE = "InoisySRGB"


def dnd_boxes(folder: Path) -> dict[str, ArrayImage]:
    """Boxes of DND by id ``NNNN_BB`` (image, box, both from 1): float32 in [0, 1].

    ``info.mat`` has a matrix of rows (r0, c0, r1, c1) per image, counted from 1 and inclusive. HDF5
    stores every array transposed.

    Raises:
        DataError: if a file is missing, damaged or refers to another file, or a box is not inside
            its image.
    """
    info = folder / "info.mat"
    boxes: dict[str, ArrayImage] = {}
    for number, matrix in enumerate(_matrices(info), start=1):
        path = folder / "images_srgb" / f"{number:04d}.mat"
        height, width, channels = _shape(path)
        for row, (r0, c0, r1, c1) in enumerate(matrix, start=1):
            if not (1 <= r0 <= r1 <= height and 1 <= c0 <= c1 <= width):
                raise DataError(
                    f"{info}: box {row} of image {number} ({r0}, {c0}, {r1}, {c1}) is not inside"
                    f" {path} of {height} rows and {width} columns.",
                    DOWNLOAD_AGAIN,
                )
            size = (r1 - r0 + 1, c1 - c0 + 1, channels)
            boxes[f"{number:04d}_{row:02d}"] = ArrayImage(
                path, size, partial(_box, path, r0 - 1, c0 - 1, r1, c1)
            )
    return boxes


def _matrices(info: Path) -> list[list[list[int]]]:
    """Boxes of every image in the index, rows (r0, c0, r1, c1)."""
    with _opened(info, "DND's index") as handle:
        references = own_item(own_item(handle, "info"), "boundingboxes")
        if references.ndim != 2 or references.shape[1] > IMAGES:
            raise ValueError(f"boundingboxes has the shape {references.shape}")
        matrices = [own_data(handle[ref]) for ref in references[0]]
        for number, matrix in enumerate(matrices, start=1):
            if matrix.ndim != 2 or matrix.shape[0] != 4 or matrix.shape[1] > BOXES:
                raise ValueError(f"the boxes of image {number} have the shape {matrix.shape}")
        found = [np.array(matrix).T for matrix in matrices]
        for number, rows in enumerate(found, start=1):
            if (
                not (np.isfinite(rows) & (np.abs(rows) < 1e9)).all()
                or (rows != np.rint(rows)).any()
            ):
                raise ValueError(f"the boxes of image {number} are not whole numbers")
        return [rows.astype(int).tolist() for rows in found]


def _box(path: Path, top: int, left: int, bottom: int, right: int) -> Pixels:
    return _image(path, stamp_of(path))[top:bottom, left:right]


def _shape(path: Path) -> tuple[int, int, int]:
    with _opened(path, "an image of DND") as handle:
        channels, width, height = _pixels(handle).shape
        return int(height), int(width), int(channels)


@lru_cache(maxsize=1)
def _image(path: Path, stamp: int) -> NDArray[np.float32]:
    with _opened(path, "a whole image of DND") as handle:
        pixels: NDArray[np.float32] = np.array(_pixels(handle), dtype=np.float32).T
    # Minimum and maximum propagate NaN; no mask as large as the image is needed.
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= -ROUNDING and high <= 1.0 + ROUNDING):
        bad = pixels.size - int(np.count_nonzero(np.isfinite(pixels)))
        what = f"holds {bad:,} NaN or infinite values" if bad else f"spans [{low:g}, {high:g}]"
        raise DataError(
            f"{path}: {_VARIABLE} of image {path.stem} {what}, but DND's pixels are in [0, 1].",
            DOWNLOAD_AGAIN,
        )
    return pixels


def _pixels(handle: Any) -> Any:
    data = own_item(handle, _VARIABLE)
    if data.ndim != 3 or data.shape[0] != 3 or 0 in data.shape or data.dtype.kind not in "fiu":
        raise ValueError(f"{_VARIABLE} is {data.dtype} {data.shape}")
    if (count := data.shape[1] * data.shape[2]) > PIXELS.value:
        raise DataError(
            f"{handle.filename} declares {count:,} pixels, at most {PIXELS.value:,} are read.",
            PIXELS.hint,
        )
    return data


@contextmanager
def _opened(path: Path, what: str) -> Iterator[Any]:
    import h5py  # here, because only the MATLAB datasets need it

    refuse_missing(path)
    try:
        with h5py.File(path, "r") as handle:
            yield handle
    except (DataError, MemoryError):
        raise
    except Exception as error:  # h5py's parser may raise anything
        raise DataError(
            f"{path} is not {what}, or is damaged ({error}).", DOWNLOAD_AGAIN
        ) from error
