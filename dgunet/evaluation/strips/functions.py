"""The functions of torch that networks use, as they are for images in strips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from dgunet.evaluation.strips.image import (
    FUNCTIONS,
    StripImage,
    UnsupportedError,
    apply,
    arithmetic,
    pointwise,
)
from dgunet.evaluation.strips.operations import Convolution, Enlargement, Reduction, ZeroRows
from dgunet.evaluation.strips.sums import Moments


def _matmul(left: Any, right: Any) -> StripImage:
    """A matrix (outputs, C) or (1, outputs, C) times the pixels of an image."""
    if not isinstance(left, Tensor) or not isinstance(right, StripImage) or not right.flat:
        raise UnsupportedError("only the product of a matrix with all pixels is defined")
    work = 2 * left.numel() * right.node.shape[3]

    def product(x: Tensor) -> Tensor:
        return (x.permute(0, 2, 3, 1) @ left.mT).permute(0, 3, 1, 2)

    return pointwise(product, right, work=work, heavy=True, channels=left.shape[-2])


def _conv2d(
    x: StripImage,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> StripImage:
    (s, _), (p, _), k = stride, padding, weight.shape[2]
    square = s == stride[1] and p == padding[1] and k == weight.shape[3]
    h, w = x.node.shape[2:]
    if not square or tuple(dilation) != (1, 1) or h % s or w % s or k - s != 2 * p:
        raise UnsupportedError("only square convolutions that keep or divide the size are defined")
    columns = w // s
    operation = Convolution(
        weight=weight,
        bias=bias,
        stride=s,
        padding=p,
        groups=groups,
        reach=p,
        work=2 * weight.numel() * columns,
    )
    form = {"channels": weight.shape[0], "rows": h // s, "columns": columns}
    return apply(operation, x, **form, step=x.node.step * s)


def _enlarged(
    x: StripImage, function: Callable[..., Tensor], factor: int, **form: Any
) -> StripImage:
    h, w = x.node.shape[2:]
    if x.node.step % factor:
        raise UnsupportedError("images larger than the input are not defined")
    reach, work, channels = form["reach"], form["work"], form["channels"]
    operation = Enlargement(function=function, factor=factor, reach=reach, work=work)
    size = {"rows": h * factor, "columns": w * factor, "step": x.node.step // factor}
    return apply(operation, x, channels=channels, **size)


def _conv_transpose2d(
    x: StripImage,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    output_padding: Sequence[int],
    groups: int,
    dilation: Sequence[int],
) -> StripImage:
    side = weight.shape[2]
    if weight.shape[2:] != tuple(stride) or any([*padding, *output_padding]) or groups != 1:
        raise UnsupportedError("only transposed convolutions without overlap are defined")
    work = 2 * weight.numel() * x.node.shape[3] // side
    return _enlarged(
        x,
        lambda rows: F.conv_transpose2d(rows, weight, bias, tuple(stride)),
        side,
        channels=weight.shape[1],
        work=work,
        reach=0,
    )


def _interpolate(x: StripImage, **options: Any) -> StripImage:
    if options["mode"] != "bilinear" or options["scale_factor"] != 2 or options["align_corners"]:
        raise UnsupportedError("only bilinear enlargement by 2 is defined")
    c, w = x.shape[1], x.shape[3]
    return _enlarged(
        x,
        lambda rows: F.interpolate(rows, scale_factor=2, mode="bilinear", align_corners=False),
        2,
        channels=c,
        work=16 * c * w,
        reach=1,
    )


def _pixel_shuffle(x: StripImage, factor: int) -> StripImage:
    c = x.shape[1] // factor**2
    return _enlarged(
        x, lambda rows: F.pixel_shuffle(rows, factor), factor, channels=c, work=0, reach=0
    )


def _reduced(
    x: StripImage, function: Callable[..., Tensor], factor: int, channels: int
) -> StripImage:
    h, w = x.node.shape[2:]
    if h % factor or w % factor:
        raise UnsupportedError("sides are not divisible")
    operation = Reduction(function=function, factor=factor, work=channels * w)
    size = {"rows": h // factor, "columns": w // factor, "step": x.node.step * factor}
    return apply(operation, x, channels=channels, **size)


def _max_pool2d(x: StripImage, kernel_size: int, **options: Any) -> StripImage:
    if options["stride"] != kernel_size or options["padding"] or options["dilation"] != 1:
        raise UnsupportedError("only pooling without overlap is defined")
    return _reduced(x, lambda rows: F.max_pool2d(rows, kernel_size), kernel_size, x.shape[1])


def _pixel_unshuffle(x: StripImage, factor: int) -> StripImage:
    channels = x.shape[1] * factor**2
    return _reduced(x, lambda rows: F.pixel_unshuffle(rows, factor), factor, channels)


def _instance_norm(
    x: StripImage, *, weight: Tensor, bias: Tensor, eps: float, **options: Any
) -> StripImage:
    if options["running_mean"] is not None or not options["use_input_stats"]:
        raise UnsupportedError("only statistics of the image itself are defined")
    mean, variance = x.engine.sum(Moments(), [x.node])
    gain = (weight.double() / (variance + eps).sqrt()).to(x.dtype).view(1, -1, 1, 1)
    mean, offset = mean.to(x.dtype).view(1, -1, 1, 1), bias.view(1, -1, 1, 1)
    return pointwise(lambda rows: rows.sub(mean).mul_(gain).add_(offset), x)


def _cat(images: Sequence[StripImage], dim: int) -> StripImage:
    if dim != 1:
        raise UnsupportedError("only channels can be joined")
    channels = sum(image.shape[1] for image in images)
    return pointwise(
        lambda *rows: torch.cat(rows, 1), *images, channels=channels, work=0, joins=True
    )


def _pad(x: StripImage, pad: Sequence[int], mode: str, value: float | None) -> StripImage:
    left, right, top, bottom = pad
    if mode != "constant" or value or left or top:
        raise UnsupportedError("only zeros at the right and the bottom are defined")
    if right:
        columns = x.shape[3] + right
        x = pointwise(lambda rows: F.pad(rows, (0, right)), x, columns=columns, work=0)
    return apply(ZeroRows(), x, rows=x.shape[2] + bottom) if bottom else x


def _leaky_relu(x: StripImage, negative_slope: float, inplace: bool) -> StripImage:
    return pointwise(lambda rows: F.leaky_relu(rows, negative_slope), x)


FUNCTIONS.update(
    {
        "add": lambda left, right: arithmetic(torch.add, left, right),
        "cat": _cat,
        "conv2d": _conv2d,
        "conv_transpose2d": _conv_transpose2d,
        "instance_norm": _instance_norm,
        "interpolate": _interpolate,
        "leaky_relu": _leaky_relu,
        "matmul": _matmul,
        "max_pool2d": _max_pool2d,
        "mul": lambda left, right: arithmetic(torch.mul, left, right),
        "pad": _pad,
        "pixel_shuffle": _pixel_shuffle,
        "pixel_unshuffle": _pixel_unshuffle,
        "prelu": lambda x, weight: pointwise(lambda rows: F.prelu(rows, weight), x),
        "relu": lambda x, inplace: pointwise(F.relu, x),
        "sigmoid": lambda x: pointwise(torch.sigmoid, x),
        "sub": lambda left, right: arithmetic(torch.sub, left, right),
        "unflatten": lambda x, dim, sizes: x.unflatten(dim, sizes),
    }
)
