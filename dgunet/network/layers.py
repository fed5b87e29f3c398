"""Layers of a network, listed from its structure without building it.

A layer holds parameters, takes operations, or both. The modules of `dgunet.network.dgunet` build
the same layers; tests compare the sums with networks that were built and run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from dgunet.network.structure import NetworkStructure

SCALES = 3
"""Number of encoder resolutions above the bottleneck: 1, 1/2 and 1/4."""

SUBSPACE = 16
"""Number of basis vectors of the subspace projection."""


@dataclass(frozen=True)
class Layer:
    """A convolution, a matrix product, or parameters that take no counted operation.

    Attributes:
        parameters: number of weights and biases.
        work: multiplications for one position; each comes with an addition.
        level: its positions are the pixels of encoder scale ``level`` (0: full resolution); None
            for one position in each image, after pooling.
        kind: what the operations are.
    """

    parameters: int
    work: int = 0
    level: int | None = 0
    kind: Literal["convolution", "product"] = "convolution"

    def operations(self, pixels: int) -> int:
        """Return the floating-point operations for an image of ``pixels`` pixels."""
        return 2 * self.work * (1 if self.level is None else pixels >> 2 * self.level)


@dataclass(frozen=True)
class Part:
    """Layers that have the same number of copies and of runs.

    Attributes:
        layers: the layers of one copy.
        copies: how often their parameters exist.
        runs: how often they run in one forward pass.
    """

    layers: list[Layer] = field(default_factory=list)
    copies: int = 1
    runs: int = 1


def network_parts(config: NetworkStructure) -> list[Part]:
    """Return the parts whose outputs the restored image depends on, in the order of Algorithm 1."""
    plain = (
        _gradient(config) + _shallow(config) + _encoder(config) + _decoder(config) + _sam(config)
    )
    inner = plain + _injection(config) + _fusions(config)
    return [
        Part(_sampling(config)),
        Part(plain),
        Part(inner, copies=_middle(config), runs=config.stages - 2),
        Part(_last(config)),
        Part([Layer(_slopes(config))]),
    ]


def dormant_layers(config: NetworkStructure) -> list[Layer]:
    """Return the layers that the released code registers and never uses."""
    if not config.dormant:
        return []
    if config.operator == "learned":
        return _concatenation(config.n_feat, config.n_feat)
    blocks = 2 * _middle(config)
    slopes = blocks if config.prelu_sharing == "none" else min(1, blocks)
    additive = [layer for level in range(SCALES) for layer in _embedding(config, level)]
    gradients = blocks * _gradient_block(3, config.gradient_width)
    return [*additive, *gradients, Layer(slopes if config.gradient_activation == "prelu" else 0)]


def _middle(config: NetworkStructure) -> int:
    """Number of parameter sets of stages 2 to K-1."""
    return min(1, config.stages - 2) if config.shared else config.stages - 2


def _slopes(config: NetworkStructure) -> int:
    """Number of PReLU slopes in use: two in a learned gradient step, one in channel attention."""
    stages, sharing = 2 + _middle(config), config.prelu_sharing
    learned = config.gradient and config.operator == "learned"
    gradient = 2 * stages if sharing == "none" else 1
    attention = {"none": stages, "outer": 1 + _middle(config), "all": 1}[sharing]
    return attention + (gradient if learned and config.gradient_activation == "prelu" else 0)


def _conv(inputs: int, outputs: int, side: int, level: int | None, *, bias: bool = True) -> Layer:
    work = inputs * outputs * side**2
    return Layer(work + (outputs if bias else 0), work, level)


def _sampling(config: NetworkStructure) -> list[Layer]:
    """The sampling matrix, applied to the image and transposed for the initial estimate."""
    if config.operator == "learned":
        return []
    return [
        Layer(config.measurements * config.block**2),
        *(2 * [Layer(0, config.measurements, kind="product")]),
    ]


def _gradient_block(channels: int, width: int) -> list[Layer]:
    return [_conv(channels, width, 3, 0), _conv(width, channels, 3, 0)]


def _gradient(config: NetworkStructure) -> list[Layer]:
    """The step size, with A and its transpose: two learned blocks or the sampling matrix."""
    if not config.gradient:
        return []
    if config.operator == "learned":
        return [Layer(1), *(2 * _gradient_block(config.channels, config.gradient_width))]
    return [Layer(1), *(2 * [Layer(0, config.measurements, kind="product")])]


def _shallow(config: NetworkStructure) -> list[Layer]:
    n = config.n_feat
    return [
        _conv(config.channels, n, 3, 0, bias=False),
        *(2 * [_conv(n, n, 3, 0, bias=False)]),
        *(2 * [_conv(n, n // 4, 1, None, bias=False)]),
    ]


def _residual(
    config: NetworkStructure, inputs: int, outputs: int, level: int, *, norm: bool
) -> list[Layer]:
    layers = [_conv(inputs, outputs, 3, level), _conv(outputs, outputs, 3, level)]
    if config.residual_block == "leaky" or inputs != outputs:
        layers.append(_conv(inputs, outputs, 1, level))
    return [*layers, Layer(2 * (outputs // 2) if norm else 0)]


def _encoder(config: NetworkStructure) -> list[Layer]:
    widths = [config.width(level) for level in (0, 1, 2, 3, 3)]
    norm = config.encoder_norm == "half-instance"
    layers = [
        layer
        for level, (a, b) in enumerate(pairwise(widths))
        for layer in _residual(config, a, b, level, norm=norm)
    ]
    if config.downsample == "strided-convolution":
        layers += [
            _conv(width, width, 4, level + 1, bias=False) for level, width in enumerate(widths[1:4])
        ]
    return layers


def _decoder(config: NetworkStructure) -> list[Layer]:
    layers = []
    joined = config.decoder_merge == "concatenate"
    for level in range(SCALES, 0, -1):
        wide, narrow, fine = config.width(level), config.width(level - 1), level - 1
        transposed = config.upsample == "transposed-convolution"
        # A transposed convolution works on the pixels that it reads.
        up = (2, level) if transposed else (3, fine)
        layers.append(_conv(wide, narrow if joined else wide, *up))
        layers += [_conv(wide, narrow, 3, fine)] if joined else []
        layers += _residual(config, 2 * narrow if joined else wide, narrow, fine, norm=False)
    return layers


def _sam(config: NetworkStructure) -> list[Layer]:
    n, c = config.n_feat, config.channels
    layers = [_conv(n, n, 1, 0, bias=False), _conv(n, c, 1, 0, bias=False)]
    return [*layers, _conv(c, n, 1, 0, bias=False)] if config.sam_attention else layers


def _embedding(config: NetworkStructure, level: int) -> list[Layer]:
    width, side = config.width(level + 1), config.fusion_kernel
    return [_conv(width, width, side, level), _conv(config.width(level), width, side, level)]


def _fusions(config: NetworkStructure) -> list[Layer]:
    layers = []
    for level in range(config.fusion_scales if config.fusion != "none" else 0):
        width = config.width(level + 1)
        layers += _embedding(config, level)
        layers += 2 * [_conv(width, width, 3, level)] if config.fusion == "spatial" else []
    return layers


def _projection(n: int) -> list[Layer]:
    """The two convolutions, and S S^T, S b^T and the product with S."""
    products = Layer(0, SUBSPACE * (SUBSPACE + 2 * n), kind="product")
    return [_conv(2 * n, SUBSPACE, 3, 0), _conv(2 * n, n, 3, 0), products]


def _concatenation(n: int, outputs: int) -> list[Layer]:
    return [_conv(2 * n, outputs, 3, 0, bias=False)]


def _injection(config: NetworkStructure) -> list[Layer]:
    n = config.n_feat
    return _projection(n) if config.injection == "projection" else _concatenation(n, n)


def _last(config: NetworkStructure) -> list[Layer]:
    n, c, full = config.n_feat, config.channels, config.last_stage == "full"
    projected = config.last_injection == "projection"
    width = n if projected or full else n + config.last_width
    layers = _gradient(config) + _shallow(config)
    layers += _projection(n) if projected else _concatenation(n, width)
    if full:
        layers += _encoder(config) + _fusions(config) + _decoder(config)
        return [*layers, _conv(n, c, 1, 0, bias=False)]
    return [*layers, _conv(width, c, 3, 0, bias=False)]
