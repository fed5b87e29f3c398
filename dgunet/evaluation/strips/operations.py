"""Local operations on images: an output row depends on few input rows, so strips suffice.

Rows of an operation's output and of its inputs are counted from the image's own top. Inputs have
equal heights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

Function = Callable[..., Tensor]


@dataclass(frozen=True)
class Piece:
    """Rows ``top`` and following of an image, (B, C, rows, W)."""

    tensor: Tensor
    top: int

    def cut(self, top: int, bottom: int) -> Tensor:
        """Return the image's rows ``top`` to ``bottom`` (exclusive), a view."""
        assert self.top <= top <= bottom <= self.top + self.tensor.shape[2], "rows are missing"
        return self.tensor[:, :, top - self.top : bottom - self.top]


@dataclass(frozen=True, kw_only=True, eq=False)
class Operation:
    """A local operation.

    Attributes:
        work: floating-point operations for one output row.
        heavy: whether repeating it costs more than keeping its result.
        joins: whether the output only arranges channels of the inputs, which are kept instead.
        view: whether the output takes no memory, but holds that of its input.
        reach: input rows beyond the own ones that an output needs, on each side.
    """

    work: int = 0
    heavy: bool = False
    joins: bool = False
    view: bool = False
    reach: int = 0

    def needs(self, top: int, bottom: int, height: int) -> tuple[int, int]:
        """Return the input rows that output rows ``top`` to ``bottom`` depend on.

        Args:
            top: first output row.
            bottom: one after the last output row.
            height: height of the inputs.
        """
        raise NotImplementedError

    def compute(self, top: int, bottom: int, height: int, pieces: Sequence[Piece]) -> Tensor:
        """Compute the output rows ``top`` to ``bottom`` from pieces with at least the `needs`."""
        raise NotImplementedError

    def workspace(self, inputs: int, output: int) -> int:
        """Return the bytes taken while it runs, from those of its inputs and its output."""
        return 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Pointwise(Operation):
    """``function`` of the same rows of all inputs."""

    function: Function

    def needs(self, top: int, bottom: int, height: int) -> tuple[int, int]:
        return top, bottom

    def compute(self, top: int, bottom: int, height: int, pieces: Sequence[Piece]) -> Tensor:
        return self.function(*(piece.cut(top, bottom) for piece in pieces))


@dataclass(frozen=True, kw_only=True, eq=False)
class Convolution(Operation):
    """A convolution with zeros outside of the image, and the image's own rows inside."""

    weight: Tensor
    bias: Tensor | None
    stride: int
    padding: int
    groups: int
    heavy: bool = True

    @property
    def _side(self) -> int:
        return self.weight.shape[2]

    def _span(self, top: int, bottom: int) -> tuple[int, int]:
        first = top * self.stride - self.padding
        return first, (bottom - 1) * self.stride - self.padding + self._side

    def needs(self, top: int, bottom: int, height: int) -> tuple[int, int]:
        first, last = self._span(top, bottom)
        return max(0, first), min(height, last)

    def compute(self, top: int, bottom: int, height: int, pieces: Sequence[Piece]) -> Tensor:
        first, last = self._span(top, bottom)
        x = pieces[0].cut(max(0, first), min(height, last))
        if first < 0 or last > height:
            x = F.pad(x, (0, 0, max(0, -first), max(0, last - height)))
        return F.conv2d(
            x, self.weight, self.bias, self.stride, (0, self.padding), groups=self.groups
        )

    def workspace(self, inputs: int, output: int) -> int:
        # Copies in the layout of the convolution library; float64 has every patch of the input.
        if self.weight.dtype == torch.float64:
            return inputs * (1 + self._side**2)
        return inputs + output


@dataclass(frozen=True, kw_only=True, eq=False)
class Enlargement(Operation):
    """``function`` of input rows that gives ``factor`` rows for each.

    With ``reach``, the first and last rows of a piece serve as context only.
    """

    function: Function
    factor: int
    heavy: bool = True

    def needs(self, top: int, bottom: int, height: int) -> tuple[int, int]:
        last = -(-bottom // self.factor)
        return max(0, top // self.factor - self.reach), min(height, last + self.reach)

    def compute(self, top: int, bottom: int, height: int, pieces: Sequence[Piece]) -> Tensor:
        first, last = self.needs(top, bottom, height)
        enlarged = self.function(pieces[0].cut(first, last))
        start, end = top - first * self.factor, bottom - first * self.factor
        # A copy, because a part of a tensor holds the memory of all of it.
        return enlarged if end - start == enlarged.shape[2] else enlarged[:, :, start:end].clone()

    def workspace(self, inputs: int, output: int) -> int:
        return inputs * (1 + self.factor**2) + output


@dataclass(frozen=True, kw_only=True, eq=False)
class Reduction(Operation):
    """``function`` of input rows that gives one row for every ``factor``, each from its own."""

    function: Function
    factor: int
    heavy: bool = True

    def needs(self, top: int, bottom: int, height: int) -> tuple[int, int]:
        return top * self.factor, bottom * self.factor

    def compute(self, top: int, bottom: int, height: int, pieces: Sequence[Piece]) -> Tensor:
        return self.function(pieces[0].cut(top * self.factor, bottom * self.factor))


@dataclass(frozen=True, kw_only=True, eq=False)
class RowChoice(Operation):
    """The input rows with the numbers ``index``, such as a reflection at the border."""

    index: Tensor

    def needs(self, top: int, bottom: int, height: int) -> tuple[int, int]:
        chosen = self.index[top:bottom]
        return int(chosen.min()), int(chosen.max()) + 1

    def compute(self, top: int, bottom: int, height: int, pieces: Sequence[Piece]) -> Tensor:
        first, last = self.needs(top, bottom, height)
        rows = pieces[0].cut(first, last)
        return rows.index_select(2, (self.index[top:bottom] - first).to(rows.device))


@dataclass(frozen=True, kw_only=True, eq=False)
class ZeroRows(Operation):
    """The image with rows of zeros below."""

    def needs(self, top: int, bottom: int, height: int) -> tuple[int, int]:
        return min(top, height), min(bottom, height)

    def compute(self, top: int, bottom: int, height: int, pieces: Sequence[Piece]) -> Tensor:
        first, last = self.needs(top, bottom, height)
        return F.pad(pieces[0].cut(first, last), (0, 0, 0, bottom - top - (last - first)))
