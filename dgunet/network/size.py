"""Number of parameters of a network, computed from its structure before anything is allocated."""

from __future__ import annotations

from itertools import pairwise

from dgunet.network.structure import NetworkStructure

SCALES = 3
"""Number of encoder resolutions above the bottleneck: 1, 1/2 and 1/4."""

SUBSPACE = 16
"""Number of basis vectors of the subspace projection."""


def count_parameters(config: NetworkStructure) -> int:
    """Count the weights and biases of all convolutions, norms and the sampling matrix.

    Dormant parameters are included. Scalar parameters (step sizes and PReLU slopes) are not.
    """
    middle = min(1, config.stages - 2) if config.shared else config.stages - 2
    plain = (
        _gradient(config) + _shallow(config) + _encoder(config) + _decoder(config) + _sam(config)
    )
    inner = plain + _injection(config) + _fusions(config)
    total = config.measurements * config.block**2 + plain + middle * inner + _last(config)
    if not config.dormant:
        return total
    if config.operator == "learned":
        return total + _concatenation(config.n_feat, config.n_feat)
    additive = sum(_embedding(config, level) for level in range(SCALES))
    return total + additive + 2 * middle * _gradient_block(3, config.gradient_width)


def _conv(inputs: int, outputs: int, side: int, *, bias: bool = True) -> int:
    return inputs * outputs * side**2 + (outputs if bias else 0)


def _gradient_block(channels: int, width: int) -> int:
    return _conv(channels, width, 3) + _conv(width, channels, 3)


def _gradient(config: NetworkStructure) -> int:
    if not config.gradient or config.operator != "learned":
        return 0
    return 2 * _gradient_block(config.channels, config.gradient_width)


def _shallow(config: NetworkStructure) -> int:
    n = config.n_feat
    attention = 2 * _conv(n, n, 3, bias=False) + 2 * _conv(n, n // 4, 1, bias=False)
    return _conv(config.channels, n, 3, bias=False) + attention


def _residual(config: NetworkStructure, inputs: int, outputs: int, *, norm: bool) -> int:
    total = _conv(inputs, outputs, 3) + _conv(outputs, outputs, 3)
    if config.residual_block == "leaky" or inputs != outputs:
        total += _conv(inputs, outputs, 1)
    return total + (2 * (outputs // 2) if norm else 0)


def _encoder(config: NetworkStructure) -> int:
    widths = [config.width(level) for level in (0, 1, 2, 3, 3)]
    norm = config.encoder_norm == "half-instance"
    total = sum(_residual(config, a, b, norm=norm) for a, b in pairwise(widths))
    if config.downsample == "strided-convolution":
        total += sum(_conv(width, width, 4, bias=False) for width in widths[1:4])
    return total


def _decoder(config: NetworkStructure) -> int:
    total = 0
    joined = config.decoder_merge == "concatenate"
    for level in range(SCALES, 0, -1):
        wide, narrow = config.width(level), config.width(level - 1)
        side = 2 if config.upsample == "transposed-convolution" else 3
        total += _conv(wide, narrow if joined else wide, side)
        total += _conv(wide, narrow, 3) if joined else 0
        total += _residual(config, 2 * narrow if joined else wide, narrow, norm=False)
    return total


def _sam(config: NetworkStructure) -> int:
    n, c = config.n_feat, config.channels
    return n * n + n * c + (c * n if config.sam_attention else 0)


def _embedding(config: NetworkStructure, level: int) -> int:
    width, side = config.width(level + 1), config.fusion_kernel
    return _conv(width, width, side) + _conv(config.width(level), width, side)


def _fusions(config: NetworkStructure) -> int:
    if config.fusion == "none":
        return 0
    total = 0
    for level in range(config.fusion_scales):
        width = config.width(level + 1)
        total += _embedding(config, level)
        total += 2 * _conv(width, width, 3) if config.fusion == "spatial" else 0
    return total


def _projection(n: int) -> int:
    return _conv(2 * n, SUBSPACE, 3) + _conv(2 * n, n, 3)


def _concatenation(n: int, outputs: int) -> int:
    return _conv(2 * n, outputs, 3, bias=False)


def _injection(config: NetworkStructure) -> int:
    n = config.n_feat
    return _projection(n) if config.injection == "projection" else _concatenation(n, n)


def _last(config: NetworkStructure) -> int:
    n, c, full = config.n_feat, config.channels, config.last_stage == "full"
    projected = config.last_injection == "projection"
    width = n if projected or full else n + config.last_width
    total = _gradient(config) + _shallow(config)
    total += _projection(n) if projected else _concatenation(n, width)
    if full:
        return total + _encoder(config) + _fusions(config) + _decoder(config) + n * c
    return total + _conv(width, c, 3, bias=False)
