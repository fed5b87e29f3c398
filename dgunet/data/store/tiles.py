"""One image as losslessly compressed tiles, of which a crop decodes only those it touches.

Before zstd a tile is taken apart into planes, and predicted: green may be taken from red and blue,
and every plane may be differenced down and across, all modulo 256. Each tile has the choice that
leaves the least entropy, and says it in its first byte. Photographs take less space than as PNG;
where every colour has noise of its own, about as much (`benchmarks/store_crops.py`).
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
"""Of a tile, in pixels; those at the right and bottom are cut off."""

GREEN, DOWN, ACROSS = 1, 2, 4
"""Bits of a tile's first byte: which predictions its planes are what is left of."""

_LEVEL = 3
"""Of zstd; higher levels gain a percent."""


@dataclass(frozen=True)
class TiledPixels:
    """An image H x W x C in compressed tiles, row by row; ``image[rows, columns]`` decodes a crop.

    ``name`` is said when a tile is damaged.
    """

    tiles: Sequence[Any]
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    name: str

    def __getitem__(self, crop: tuple[slice, slice]) -> Pixels:
        """The rectangle of two slices without a step, read-only.

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
        """The image, read-only.

        Raises:
            DataError: if a tile is damaged.
        """
        return self[:, :]

    def _tile(self, row: int, column: int, rows: int, columns: int) -> Pixels:
        """The first ``rows`` and ``columns`` of the tile at a place, or as many as it has."""
        height, width, channels = self.shape
        number = row // SIDE * -(-width // SIDE) + column // SIDE
        size = (min(SIDE, height - row), min(SIDE, width - column), channels)
        try:
            return decode_tile(self.tiles[number], size, self.dtype, rows, columns)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise DataError(
                f"{self.name} is damaged ({error}).",
                "Prepare the set again: `dgunet data prepare NAME --layout compact`.",
            ) from error


def encode(image: Pixels) -> list[bytes]:
    """The tiles of an image H x W x C, row by row, for `TiledPixels`."""
    height, width, _ = image.shape
    return [
        encode_tile(image[row : row + SIDE, column : column + SIDE])
        for row in range(0, height, SIDE)
        for column in range(0, width, SIDE)
    ]


def encode_tile(tile: Pixels) -> bytes:
    """Compress one tile; the bytes depend on its pixels alone."""
    planes = _planes(tile)
    ways = range(8) if _has_colours(tile.shape, tile.dtype) else range(0, 8, GREEN + 1)
    way = min(ways, key=lambda way: _entropy(_residual(planes, way)))
    compressed: bytes = _codec().compress(_residual(planes, way).tobytes(), asbytes=True)
    return bytes([way]) + compressed


def _residual(planes: NDArray[np.uint8], way: int) -> NDArray[np.uint8]:
    left = planes.copy()
    if way & GREEN:
        left[0::2] -= planes[1]
    if way & DOWN:
        left[:, 1:] -= left[:, :-1].copy()
    if way & ACROSS:
        left[:, :, 1:] -= left[:, :, :-1].copy()
    return left


def _entropy(planes: NDArray[np.uint8]) -> float:
    """Bits to code the bytes one by one, plane by plane."""
    counts = np.stack([np.bincount(plane.ravel(), minlength=256) for plane in planes])
    total = counts.sum(axis=1, keepdims=True)
    return -float((counts * np.log2(np.maximum(counts, 1) / total)).sum())


def decode_tile(
    data: Any, shape: tuple[int, int, int], dtype: np.dtype[Any], rows: int, columns: int
) -> Pixels:
    """The first ``rows`` and ``columns`` of the tile of ``shape`` that `encode_tile` compressed.

    Raises:
        OSError: if ``data`` is damaged.
        ValueError: if it is a tile of another size.
    """
    height, width, channels = shape
    count = channels * dtype.itemsize
    data = memoryview(data)
    if not len(data) or data[0] > GREEN | DOWN | ACROSS:
        raise ValueError("its first byte is wrong")
    way = data[0]
    raw = np.frombuffer(_codec().decompress(data[1:], height * width * count), np.uint8)
    planes = raw.reshape(count, height, width)[:, :rows, :columns].copy()
    if way & ACROSS:
        _running_sums(planes.swapaxes(1, 2))
    if way & DOWN:
        _running_sums(planes)
    if way & GREEN:
        planes[0::2] += planes[1]
    return np.stack(list(planes), axis=-1).view(dtype)


def _running_sums(planes: NDArray[np.uint8]) -> None:
    """Sums along axis 1 modulo 256, in place, by doubling: three times as fast as `np.cumsum`."""
    step = 1
    while step < planes.shape[1]:
        planes[:, step:] += planes[:, :-step]
        step *= 2


def _planes(tile: Pixels) -> NDArray[np.uint8]:
    """The bytes of a tile as planes: one a channel, or one a byte of a wider type."""
    return np.ascontiguousarray(tile).view(np.uint8).transpose(2, 0, 1)


def _has_colours(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    return shape[-1] == 3 and dtype == np.uint8


@cache
def _codec() -> pa.Codec:
    return pa.Codec("zstd", compression_level=_LEVEL)
