"""An image that a network processes in place of a tensor; its pixels are computed by strips.

torch calls `StripImage.__torch_function__` wherever the network passes one to a function of torch,
so the network's own code defines what is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from dgunet.evaluation.strips.engine import Engine, Handle
from dgunet.evaluation.strips.operations import Operation, Pointwise, RowChoice
from dgunet.evaluation.strips.schedule import Node
from dgunet.evaluation.strips.sums import Products, Sum, Total

FUNCTIONS: dict[str, Callable[..., Any]] = {}
"""Functions of torch by name, as they are for strips; see `dgunet.evaluation.strips.functions`."""


class UnsupportedError(AttributeError):
    """A network uses an operation that is not defined for strips."""


class StripImage(Handle):
    """One image (1, C, H, W), or its pixels in one dimension (1, C, H * W) where ``flat``."""

    def __init__(self, engine: Engine, node: Node, *, flat: bool = False) -> None:
        super().__init__(engine, node)
        self.flat = flat

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        name = getattr(func, "__name__", str(func)).strip("_")
        if name not in FUNCTIONS:
            raise UnsupportedError(f"{name} is not defined for images in strips")
        return FUNCTIONS[name](*args, **(kwargs or {}))

    def __getattr__(self, name: str) -> Any:
        raise UnsupportedError(f"{name} is not defined for images in strips")

    # The part of a tensor's interface that networks use.

    @property
    def shape(self) -> torch.Size:
        b, c, h, w = self.node.shape
        return torch.Size((b, c, h * w) if self.flat else (b, c, h, w))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def dtype(self) -> torch.dtype:
        return self.node.dtype

    @property
    def device(self) -> torch.device:
        return self.engine.device

    def dim(self) -> int:
        return self.ndim

    def size(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[dim]

    def to(self, dtype: torch.dtype) -> StripImage:
        if dtype == self.dtype:
            return self
        return pointwise(lambda x: x.to(dtype), self, dtype=dtype)

    def __add__(self, other: Any) -> StripImage:
        return arithmetic(torch.add, self, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> StripImage:
        return arithmetic(torch.sub, self, other)

    def __mul__(self, other: Any) -> StripImage:
        return arithmetic(torch.mul, self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> StripImage:
        return arithmetic(torch.div, self, other)

    def abs(self) -> StripImage:
        return pointwise(torch.abs, self)

    def chunk(self, chunks: int, dim: int) -> tuple[StripImage, ...]:
        if dim != 1 or self.flat:
            raise UnsupportedError("only channels can be divided")
        width = -(-self.shape[1] // chunks)
        return tuple(self._channels(i, width) for i in range(0, self.shape[1], width))

    def _channels(self, first: int, count: int) -> StripImage:
        count = min(count, self.shape[1] - first)
        return pointwise(
            lambda x: x.narrow(1, first, count), self, channels=count, work=0, joins=True, view=True
        )

    def flatten(self, start_dim: int) -> StripImage:
        if start_dim != 2:
            raise UnsupportedError("only rows and columns can be joined")
        return StripImage(self.engine, self.node, flat=True)

    def unflatten(self, dim: int, sizes: Sequence[int]) -> StripImage:
        if not self.flat or dim != 2 or tuple(sizes) != self.node.shape[2:]:
            raise UnsupportedError("pixels can only be divided as they were before")
        return StripImage(self.engine, self.node)

    def mean(self, dim: tuple[int, ...], keepdim: bool) -> Tensor:
        if tuple(dim) != (2, 3) or not keepdim:
            raise UnsupportedError("only means over rows and columns are defined")
        pixels = self.node.shape[2] * self.node.shape[3]
        return (self._total(Total()) / pixels).to(self.dtype).view(1, -1, 1, 1)

    def sum(self, dim: int, keepdim: bool) -> Tensor:
        if not self.flat or dim != 2 or not keepdim:
            raise UnsupportedError("only sums over all pixels are defined")
        return self._total(Total()).to(self.dtype).view(1, -1, 1)

    def transpose(self, first: int, second: int) -> _Transposed:
        if not self.flat or (first, second) != (1, 2):
            raise UnsupportedError("only pixels and channels can be exchanged")
        return _Transposed(self)

    def __matmul__(self, other: Any) -> Tensor:
        if not isinstance(other, _Transposed) or not self.flat:
            raise UnsupportedError("only products over all pixels are defined")
        return self._total(Products(), other.image).to(self.dtype)[None]

    def _total(self, total: Sum, *others: StripImage) -> Tensor:
        return self.engine.sum(total, [self.node, *(other.node for other in others)])

    def index_select(self, dim: int, index: Tensor) -> StripImage:
        if dim == 3:
            columns = len(index)
            return pointwise(lambda x: x.index_select(3, index), self, columns=columns, work=0)
        if dim != 2:
            raise UnsupportedError("only rows and columns can be chosen")
        number = torch.arange(len(index), device=index.device)
        reach = int((index - number).abs().max())
        return apply(RowChoice(index=index.cpu(), reach=reach), self, rows=len(index))

    def __getitem__(self, key: Any) -> StripImage:
        h, w = self.node.shape[2:]
        rows, columns = (part.indices(side) for part, side in zip(key[1:], (h, w), strict=True))
        if key[0] is not ... or rows[::2] != (0, 1) or columns[::2] != (0, 1):
            raise UnsupportedError("only the upper left part of an image can be cut")
        right = columns[1]
        form = {"rows": rows[1], "columns": right}
        return pointwise(lambda x: x[..., :right], self, work=0, view=True, **form)


class _Transposed:
    """The pixels of a flat image as rows of a matrix, as the right factor of a product."""

    def __init__(self, image: StripImage) -> None:
        self.image = image


def apply(operation: Operation, *images: StripImage, **changes: Any) -> StripImage:
    """Return the result of ``operation``; ``changes`` are those of the first image's form."""
    first = images[0]
    _, c, h, w = first.node.shape
    shape = (1, changes.get("channels", c), changes.get("rows", h), changes.get("columns", w))
    step = changes.get("step", first.node.step)
    dtype = changes.get("dtype", first.dtype)
    parents = [image.node for image in images]
    node = first.engine.node(operation, parents, shape=shape, dtype=dtype, step=step)
    return StripImage(first.engine, node, flat=first.flat)


def pointwise(
    function: Callable[..., Tensor],
    *images: StripImage,
    work: int | None = None,
    joins: bool = False,
    heavy: bool = False,
    view: bool = False,
    **changes: Any,
) -> StripImage:
    """Return ``function`` of the same rows of images; by default one operation for each value."""
    if len({(image.node.shape[2:], image.flat) for image in images}) > 1:
        raise UnsupportedError("images of different sizes are combined")
    shape = images[0].node.shape
    values = changes.get("channels", shape[1]) * changes.get("columns", shape[3])
    work = values if work is None else work
    operation = Pointwise(function=function, work=work, joins=joins, heavy=heavy, view=view)
    return apply(operation, *images, **changes)


def arithmetic(function: Callable[..., Tensor], left: Any, right: Any) -> StripImage:
    """Combine an image with another, a number, or a tensor with one value for each channel."""
    if isinstance(left, StripImage) and isinstance(right, StripImage):
        if left.shape[1] != right.shape[1]:
            raise UnsupportedError("images of different numbers of channels are combined")
        dtype = torch.promote_types(left.dtype, right.dtype)
        return pointwise(function, left, right, dtype=dtype)
    if isinstance(left, StripImage):
        factor = _by_channel(right, left)
        return pointwise(lambda x: function(x, factor), left)
    factor = _by_channel(left, right)
    return pointwise(lambda x: function(factor, x), right)


def _by_channel(value: Any, image: StripImage) -> Any:
    if not isinstance(value, Tensor) or value.numel() == 1:
        return value
    if value.shape != (1, image.shape[1], *(1,) * (image.ndim - 2)):
        raise UnsupportedError(f"an image is combined with a tensor of {tuple(value.shape)}")
    return value.view(1, -1, 1, 1)
