"""Structural similarity (SSIM) with explicit window, border and averaging.

One fast implementation of the variants behind the tables: block by block, separable, in float64.
Blocks keep the working set in the processor's cache and bound the memory for any image size.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dgunet.imaging.arrays import Array, require_same_size, require_sides
from dgunet.imaging.opencv import cv2

Float = NDArray[np.float64]

_BLOCK_ROWS, _BLOCK_COLUMNS = 96, 256  # half as many columns for several channels
_FAST_TYPES = (np.uint8, np.float32, np.float64)
_EDGES = {"reflect": cv2.BORDER_REFLECT, "mirror": cv2.BORDER_REFLECT_101}


@dataclass(frozen=True)
class SsimDefinition:
    """Everything that changes an SSIM value.

    Attributes:
        window: "gaussian" (sigma 1.5) or "uniform".
        size: window width in pixels, odd.
        border: "valid" keeps the pixels whose window is inside the image; "replicate"
            repeats the border pixels, "reflect" mirrors them, "mirror" mirrors them without
            repeating the outermost one, and all three keep the whole map.
        volume: filter the colour axis as a third dimension, as MATLAB's ``ssim`` does for
            an H x W x 3 array.
        sample_covariance: divide (co)variances by N - 1 instead of N (N = size^2).
        data_range: L of the constants (K1 L)^2 and (K2 L)^2, K = (0.01, 0.03).
    """

    window: Literal["gaussian", "uniform"]
    size: int
    border: Literal["valid", "replicate", "reflect", "mirror"]
    volume: bool
    sample_covariance: bool
    data_range: float

    @cached_property
    def taps(self) -> Float:
        """The one-dimensional window, float64, shape (size,), sum 1."""
        if self.window == "uniform":
            return np.full(self.size, 1.0 / self.size)
        offsets = np.arange(self.size) - self.size // 2
        weights = np.exp(-(offsets**2) / (2.0 * 1.5**2))
        return np.asarray(weights / weights.sum())

    @property
    def covariance_norm(self) -> float:
        """The factor that multiplies the window's (co)variances."""
        samples = self.size**2
        return samples / (samples - 1) if self.sample_covariance else 1.0

    @property
    def constants(self) -> tuple[float, float]:
        """C1 = (K1 L)^2 and C2 = (K2 L)^2."""
        return (0.01 * self.data_range) ** 2, (0.03 * self.data_range) ** 2

    def colour_mixing(self, channels: int) -> Float:
        """The window along the colour axis with replicated ends, as a (C, C) matrix."""
        mixing = np.zeros((channels, channels))
        for row in range(channels):
            for tap, weight in zip(
                range(-(self.size // 2), self.size // 2 + 1), self.taps, strict=True
            ):
                mixing[row, min(max(row + tap, 0), channels - 1)] += weight
        return mixing


def ssim(first: Array, second: Array, definition: SsimDefinition) -> float:
    """Mean structural similarity of two images over the map that ``definition`` keeps.

    Args:
        first: shape (H, W) or (H, W, C); any real type, in units of ``data_range``.
        second: the same shape.

    Returns:
        The mean over the whole map (all channels), computed in float64.

    Raises:
        EvaluationError: when the shapes differ or a side is shorter than the window.
    """
    sums, count = [], 0
    for _, _, block in _block_maps(first, second, definition):
        sums.append(float(block.sum()))
        count += block.size
    return math.fsum(sums) / count


def ssim_map(first: Array, second: Array, definition: SsimDefinition) -> Float:
    """The whole similarity map, shape (H, W, C), for borders that keep the whole map.

    Raises:
        EvaluationError: when the shapes differ.
    """
    whole = np.empty(np.atleast_3d(first).shape)
    for rows, columns, block in _block_maps(first, second, definition):
        whole[rows, columns] = block
    return whole


def _block_maps(
    first: Array, second: Array, definition: SsimDefinition
) -> Iterator[tuple[slice, slice, Float]]:
    require_same_size(first, second)
    require_sides(first, definition.size)
    first, second = np.atleast_3d(first), np.atleast_3d(second)
    mixing = definition.colour_mixing(first.shape[2]) if definition.volume else None
    reach = definition.size // 2
    inset = reach if definition.border == "valid" else 0
    edge = _EDGES.get(definition.border, cv2.BORDER_REPLICATE)
    for rows, columns in _blocks(first.shape, inset):
        x, y = (_with_halo(image, rows, columns, reach, edge) for image in (first, second))
        yield rows, columns, _block_map(x, y, definition, mixing)


def _blocks(shape: tuple[int, ...], inset: int) -> Iterator[tuple[slice, slice]]:
    """Non-overlapping blocks that cover the image except ``inset`` pixels on every side."""
    height, width, channels = shape
    wide = _BLOCK_COLUMNS if channels == 1 else -(-_BLOCK_COLUMNS // 2)
    for row in range(inset, height - inset, _BLOCK_ROWS):
        for column in range(inset, width - inset, wide):
            yield (
                slice(row, min(row + _BLOCK_ROWS, height - inset)),
                slice(column, min(column + wide, width - inset)),
            )


def _with_halo(image: Array, rows: slice, columns: slice, reach: int, edge: int) -> Array:
    """The block with ``reach`` pixels around it, padded outside the image; shape (h, w, C)."""
    height, width = image.shape[:2]
    top, bottom = rows.start - reach, rows.stop + reach
    left, right = columns.start - reach, columns.stop + reach
    block = image[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    missing = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
    if block.dtype not in _FAST_TYPES:
        block = block.astype(np.float64)
    block = np.ascontiguousarray(block)
    if any(missing):
        block = np.asarray(cv2.copyMakeBorder(block, *missing, edge))
    return block.reshape(bottom - top, right - left, image.shape[2])


class _Scratch(threading.local):
    """Memory reused for every block, a few MB per thread: new pages cost as much as the filters."""

    def __init__(self) -> None:
        self._memory: dict[str, Float] = {}

    def __call__(self, name: str, *shape: int) -> Float:
        size = math.prod(shape)
        if name not in self._memory or self._memory[name].size < size:
            self._memory[name] = np.empty(size)
        return self._memory[name][:size].reshape(shape)


_scratch = _Scratch()


def _block_map(x: Array, y: Array, definition: SsimDefinition, mixing: Float | None) -> Float:
    """The SSIM map of one block whose halo is attached; shape (rows, columns, C).

    Channels stay interleaved in memory; OpenCV filters and mixes them together. The next block
    overwrites the map.
    """
    height, width, channels = x.shape
    halo = definition.size - 1
    averages = _scratch("averages", 4, height - halo, width - halo, channels)
    _average(x, y, definition, mixing, averages)
    return _similarity(averages, definition)


def _average(
    x: Array, y: Array, definition: SsimDefinition, mixing: Float | None, result: Float
) -> None:
    """Write the window averages of s = x + y, d = x - y, s^2 and d^2 into ``result``.

    The formula needs only these four, one filtering less than with the means, squares and products
    of x and y. ``mixing`` is the window along the colour axis.
    """
    reach = definition.size // 2
    total = cv2.add(x, y, dst=_scratch("s", *x.shape), dtype=cv2.CV_64F).reshape(x.shape)
    difference = cv2.subtract(x, y, dst=_scratch("d", *x.shape), dtype=cv2.CV_64F).reshape(x.shape)
    for plane, mean, square in ((total, 0, 2), (difference, 1, 3)):
        for into in (mean, square):
            inner = _filter(plane, definition)[reach:-reach, reach:-reach]
            if mixing is None:
                result[into] = inner
            else:
                cv2.transform(inner, mixing, dst=result[into])
            if into == mean:
                plane *= plane


def _filter(plane: Array, definition: SsimDefinition) -> Array:
    """Window averages of every channel, valid where the whole window is inside ``plane``."""
    into, taps = _scratch("filtered", *plane.shape), definition.taps
    if definition.window == "uniform":
        filtered = cv2.boxFilter(plane, -1, (definition.size, definition.size), dst=into)
    else:
        filtered = cv2.sepFilter2D(plane, -1, taps, taps, dst=into)
    return np.asarray(filtered).reshape(plane.shape)


def _similarity(averages: Float, definition: SsimDefinition) -> Float:
    """The SSIM formula, numerator and denominator both multiplied by four; in place.

    With M = s^2, N = d^2, P = var(x + y), Q = var(x - y):
    4 mean_x mean_y = M - N, 2 (mean_x^2 + mean_y^2) = M + N, 4 cov = P - Q and
    2 (var_x + var_y) = P + Q.
    """
    c1, c2 = definition.constants
    s, d, ss, dd = averages
    s *= s
    d *= d
    ss -= s
    dd -= d
    s += 2.0 * c1
    # Divides C2 by the factor instead of multiplying both variances by it.
    ss += 2.0 * c2 / definition.covariance_norm
    result = np.subtract(s, d, out=_scratch("result", *s.shape))
    result *= np.subtract(ss, dd, out=_scratch("contrast", *s.shape))
    s += d
    ss += dd
    s *= ss
    result /= s
    return np.asarray(result)
