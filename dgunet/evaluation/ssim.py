"""Structural similarity with its window, border and averaging spelled out.

One fast implementation for the four flavours behind the tables: block by block, separable,
float64. Blocks keep the working set in the processor's cache and memory bounded for any size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from dgunet.evaluation.arrays import Array, require_same_size, require_sides

Float = NDArray[np.float64]

_BLOCK_ROWS, _BLOCK_VALUES = 96, 512


@dataclass(frozen=True)
class SsimDefinition:
    """Everything that changes an SSIM value.

    Attributes:
        window: "gaussian" (sigma 1.5) or "uniform".
        size: window width in pixels, odd.
        border: "valid" keeps the pixels whose window lies inside the image; "replicate"
            repeats the border pixels, "reflect" mirrors them, and both keep the whole map.
        volume: filter the colour axis as a third dimension, as MATLAB's ``ssim`` does for
            an H x W x 3 array.
        sample_covariance: divide (co)variances by N - 1 instead of N (N = size^2).
        data_range: L of the constants (K1 L)^2 and (K2 L)^2, K = (0.01, 0.03).
    """

    window: Literal["gaussian", "uniform"]
    size: int
    border: Literal["valid", "replicate", "reflect"]
    volume: bool
    sample_covariance: bool
    data_range: float

    @property
    def taps(self) -> Float:
        """The one-dimensional window, float64, shape (size,), sum 1."""
        if self.window == "uniform":
            return np.full(self.size, 1.0 / self.size)
        offsets = np.arange(self.size) - self.size // 2
        weights = np.exp(-(offsets**2) / (2.0 * 1.5**2))
        return np.asarray(weights / weights.sum())

    @property
    def covariance_norm(self) -> float:
        """The factor on the window's (co)variances."""
        samples = self.size**2
        return samples / (samples - 1) if self.sample_covariance else 1.0

    @property
    def constants(self) -> tuple[float, float]:
        """C1 and C2."""
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
    channels = first.shape[2]
    mixing = definition.colour_mixing(channels) if definition.volume else None
    reach = definition.size // 2
    inset = reach if definition.border == "valid" else 0
    edge = cv2.BORDER_REFLECT if definition.border == "reflect" else cv2.BORDER_REPLICATE
    for rows, columns in _blocks(first.shape[0], first.shape[1], channels, inset):
        x, y = (_with_halo(image, rows, columns, reach, edge) for image in (first, second))
        yield rows, columns, _block_map(x, y, definition, mixing)


def _blocks(height: int, width: int, channels: int, inset: int) -> Iterator[tuple[slice, slice]]:
    """Non-overlapping blocks that cover the image less ``inset`` pixels on every side."""
    columns = max(_BLOCK_VALUES // channels, 64)
    for row in range(inset, height - inset, _BLOCK_ROWS):
        for column in range(inset, width - inset, columns):
            yield (
                slice(row, min(row + _BLOCK_ROWS, height - inset)),
                slice(column, min(column + columns, width - inset)),
            )


def _with_halo(image: Array, rows: slice, columns: slice, reach: int, edge: int) -> Float:
    """The block and ``reach`` pixels around it in float64, extended beyond the image."""
    height, width = image.shape[:2]
    top, bottom = rows.start - reach, rows.stop + reach
    left, right = columns.start - reach, columns.stop + reach
    inside = image[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    block = inside.astype(np.float64)
    missing = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
    if any(missing):
        block = np.asarray(cv2.copyMakeBorder(block, *missing, edge))
    return block.reshape(bottom - top, right - left, image.shape[2])


def _block_map(x: Float, y: Float, definition: SsimDefinition, mixing: Float | None) -> Float:
    """The SSIM map of one block whose halo is attached; shape (rows, columns, C)."""
    c1, c2 = definition.constants
    mean_x, mean_y = _filter(x, definition, mixing), _filter(y, definition, mixing)
    product = _filter(x * y, definition, mixing)
    x *= x
    y *= y
    x += y
    squares = _filter(x, definition, mixing)
    # The formula with mean_x * mean_y and mean_x^2 + mean_y^2 formed in place.
    mean_product = mean_x * mean_y
    mean_x *= mean_x
    mean_y *= mean_y
    mean_x += mean_y
    norm = 2.0 * definition.covariance_norm
    product -= mean_product
    product *= norm
    product += c2
    mean_product *= 2.0
    mean_product += c1
    squares -= mean_x
    squares *= definition.covariance_norm
    squares += c2
    mean_x += c1
    product *= mean_product
    squares *= mean_x
    product /= squares
    return product


def _filter(block: Float, definition: SsimDefinition, mixing: Float | None) -> Float:
    """Window averages of ``block`` where its halo allows them."""
    reach = definition.size // 2
    if definition.window == "uniform":
        full = cv2.boxFilter(block, -1, (definition.size, definition.size))
    else:
        full = cv2.sepFilter2D(block, -1, definition.taps, definition.taps)
    if mixing is not None:
        full = cv2.transform(full, mixing)
    whole = np.asarray(full).reshape(block.shape)
    return whole[reach:-reach, reach:-reach]
