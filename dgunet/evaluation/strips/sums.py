"""Statistics of whole images, summed strip by strip in float64."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Self

import torch
from torch import Tensor

_TOGETHER = 1 << 18
"""Values that are converted to float64 at once, or those of one row if these are more."""


def sum_bytes(shapes: Sequence[tuple[int, int, int]]) -> int:
    """Return the bytes that adding strips of ``shapes`` (C, rows, W) to a sum takes."""
    return sum(3 * 8 * min(c * rows * w, max(_TOGETHER, c * w)) for c, rows, w in shapes)


class Sum(ABC):
    """A statistic of one image, or of two of equal height and width, over all of its pixels."""

    @abstractmethod
    def add(self, strips: list[Tensor]) -> None:
        """Add the rows (1, C, rows, W) of each image."""

    @abstractmethod
    def join(self, other: Self) -> None:
        """Add what ``other`` has summed over other rows."""

    @abstractmethod
    def total(self) -> Tensor:
        """Return the statistic of the rows that were added, in float64."""


def _parts(strips: list[Tensor]) -> Iterator[list[Tensor]]:
    """Yield groups of rows of all images as float64 (pixels, C)."""
    widest = max(strip.shape[1] * strip.shape[3] for strip in strips)
    rows = max(1, _TOGETHER // widest)
    ordered = [strip[0].permute(1, 2, 0) for strip in strips]
    for top in range(0, len(ordered[0]), rows):
        yield [pixels[top : top + rows].double().flatten(0, 1) for pixels in ordered]


class Total(Sum):
    """The sum of every channel, (C,)."""

    def __init__(self) -> None:
        self._sum: Tensor | float = 0.0

    def add(self, strips: list[Tensor]) -> None:
        for (part,) in _parts(strips):
            self._sum = self._sum + part.sum(0)

    def join(self, other: Self) -> None:
        self._sum = self._sum + other._sum

    def total(self) -> Tensor:
        assert isinstance(self._sum, Tensor)
        return self._sum


class Moments(Sum):
    """Mean and variance (dividing by the number of pixels) of every channel, (2, C).

    The variance of the parts' means is part of the variance of the image: parts are joined by
    M = M_1 + M_2 + d^2 n_1 n_2 / (n_1 + n_2), where M is a sum of squared deviations from the
    mean, n a number of pixels and d the difference of the means (Chan, Golub, LeVeque 1979).
    """

    def __init__(self) -> None:
        self._pixels = 0
        self._mean: Tensor | float = 0.0
        self._squares: Tensor | float = 0.0

    def add(self, strips: list[Tensor]) -> None:
        for (part,) in _parts(strips):
            variance, mean = torch.var_mean(part, dim=0, correction=0)
            self._join(len(part), mean, variance * len(part))

    def join(self, other: Self) -> None:
        assert isinstance(other._mean, Tensor) and isinstance(other._squares, Tensor)
        self._join(other._pixels, other._mean, other._squares)

    def _join(self, pixels: int, mean: Tensor, squares: Tensor) -> None:
        both = self._pixels + pixels
        apart = mean - self._mean
        self._mean = self._mean + apart * (pixels / both)
        self._squares = self._squares + squares + apart**2 * (self._pixels * pixels / both)
        self._pixels = both

    def total(self) -> Tensor:
        assert isinstance(self._mean, Tensor) and isinstance(self._squares, Tensor)
        return torch.stack([self._mean, self._squares / self._pixels])


class Products(Sum):
    """The inner products over all pixels of every channel of one image with those of another.

    (C_1, C_2); of an image with itself this is the Gram matrix.
    """

    def __init__(self) -> None:
        self._sum: Tensor | float = 0.0

    def add(self, strips: list[Tensor]) -> None:
        for first, second in _parts(strips):
            self._sum = self._sum + first.mT @ second

    def join(self, other: Self) -> None:
        self._sum = self._sum + other._sum

    def total(self) -> Tensor:
        assert isinstance(self._sum, Tensor)
        return self._sum
