"""One image as losslessly compressed tiles; a crop decodes only the tiles it touches.

Before zstd compression a tile is split into planes and predicted: green may be subtracted from red
and blue, and every plane may be differenced vertically and horizontally, all modulo 256. The
combination with the lowest entropy is chosen for each tile and stored in its first byte.
Photographs take less space than as PNG, or about as much if the noise of the channels is
independent (`benchmarks/store_crops.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dgunet.data.readers.images import Pixels
from dgunet.system.errors import DataError

SIDE = 256
"""Side of a tile in pixels; tiles at the right and bottom border are smaller."""

GREEN, DOWN, ACROSS = 1, 2, 4
"""Bits of a tile's first byte: the predictions that were subtracted from its planes."""

_LEVEL = 3
"""Compression level of zstd; higher levels save one percent."""


@dataclass(frozen=True)
class TiledPixels:
    """An image H x W x C in compressed tiles; ``image[rows, columns]`` decodes a crop.

    Attributes:
        tiles: compressed tiles, row by row.
        shape: (H, W, C).
        dtype: type of the pixels.
        name: description of the image for error messages.
    """

    tiles: Sequence[Any]
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    name: str

    def __getitem__(self, crop: tuple[slice, slice]) -> Pixels:
        """Decode the rectangle of two slices without a step; the result is read-only.

        Raises:
            DataError: if a tile is damaged.
        """
        height, width, channels = self.shape
        top, bottom, _ = crop[0].indices(height)
        left, right, _ = crop[1].indices(width)
        cut = np.empty((max(bottom - top, 0), max(right - left, 0), channels), self.dtype)
        for row in range(top - top % SIDE, bottom, SIDE):
            for column in range(left - left % SIDE, right, SIDE):
                tile = self._tile(row, column, bottom - row, right - column)
                skip, aside = max(top - row, 0), max(left - column, 0)
                part = tile[skip:, aside:]
                below, beside = row + skip - top, column + aside - left
                cut[below : below + len(part), beside : beside + part.shape[1]] = part
        cut.flags.writeable = False
        return cut

    def whole(self) -> Pixels:
        """Decode the image; the result is read-only.

        Raises:
            DataError: if a tile is damaged.
        """
        return self[:, :]

    def _tile(self, row: int, column: int, rows: int, columns: int) -> Pixels:
        """Decode at most the first ``rows`` and ``columns`` of the tile at (row, column)."""
        height, width, channels = self.shape
        number = row // SIDE * -(-width // SIDE) + column // SIDE
        size = (min(SIDE, height - row), min(SIDE, width - column), channels)
        try:
            return decode_tile(self.tiles[number], size, self.dtype, rows, columns)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise DataError(
                f"{self.name} is damaged ({error}).",
                "Prepare the dataset again: `dgunet data prepare NAME --layout compact`.",
            ) from error


def encode(image: Pixels) -> list[bytes]:
    """Compress an image H x W x C to the tiles of `TiledPixels`."""
    height, width, _ = image.shape
    return [
        encode_tile(image[row : row + SIDE, column : column + SIDE])
        for row in range(0, height, SIDE)
        for column in range(0, width, SIDE)
    ]


def encode_tile(tile: Pixels) -> bytes:
    """Compress one tile; the bytes are a function of its pixels."""
    planes = _planes(tile)
    choices = range(8) if _has_colours(tile.shape, tile.dtype) else range(0, 8, GREEN + 1)
    prediction = min(choices, key=lambda bits: _entropy(_residual(planes, bits)))
    compressed: bytes = _codec().compress(_residual(planes, prediction).tobytes(), asbytes=True)
    return bytes([prediction]) + compressed


def _residual(planes: NDArray[np.uint8], prediction: int) -> NDArray[np.uint8]:
    left = planes.copy()
    if prediction & GREEN:
        left[0::2] -= planes[1]
    if prediction & DOWN:
        left[:, 1:] -= left[:, :-1].copy()
    if prediction & ACROSS:
        left[:, :, 1:] -= left[:, :, :-1].copy()
    return left


def _entropy(planes: NDArray[np.uint8]) -> float:
    """Bits needed to code the bytes independently, plane by plane."""
    counts = np.stack([np.bincount(plane.ravel(), minlength=256) for plane in planes])
    total = counts.sum(axis=1, keepdims=True)
    return -float((counts * np.log2(np.maximum(counts, 1) / total)).sum())


def decode_tile(
    data: Any, shape: tuple[int, int, int], dtype: np.dtype[Any], rows: int, columns: int
) -> Pixels:
    """Decode the first ``rows`` and ``columns`` of a tile of ``shape`` from `encode_tile`.

    Raises:
        OSError: if ``data`` is damaged.
        ValueError: if it is a tile of another size.
    """
    height, width, channels = shape
    count = channels * dtype.itemsize
    data = memoryview(data)
    if not len(data) or data[0] > GREEN | DOWN | ACROSS:
        raise ValueError("the first byte of a tile is invalid")
    prediction = data[0]
    raw = np.frombuffer(_codec().decompress(data[1:], height * width * count), np.uint8)
    planes = raw.reshape(count, height, width)[:, :rows, :columns].copy()
    if prediction & ACROSS:
        _running_sums(planes.swapaxes(1, 2))
    if prediction & DOWN:
        _running_sums(planes)
    if prediction & GREEN:
        planes[0::2] += planes[1]
    return np.stack(list(planes), axis=-1).view(dtype)


def _running_sums(planes: NDArray[np.uint8]) -> None:
    """Cumulative sums along axis 1 modulo 256, in place, by doubling; faster than `np.cumsum`."""
    step = 1
    while step < planes.shape[1]:
        planes[:, step:] += planes[:, :-step]
        step *= 2


def _planes(tile: Pixels) -> NDArray[np.uint8]:
    """Bytes of a tile as planes: one per channel, or one per byte of a wider type."""
    return np.ascontiguousarray(tile).view(np.uint8).transpose(2, 0, 1)


def _has_colours(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    return shape[-1] == 3 and dtype == np.uint8


@cache
def _codec() -> pa.Codec:
    return pa.Codec("zstd", compression_level=_LEVEL)
