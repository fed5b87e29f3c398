"""Parameters and operations of a network, computed from its structure before it is built."""

from __future__ import annotations

from typing import Literal

from dgunet.network.layers import dormant_layers, network_parts
from dgunet.network.structure import NetworkStructure


def count_parameters(config: NetworkStructure) -> int:
    """Count all parameters, dormant ones included; shared ones count once."""
    used = sum(
        part.copies * sum(layer.parameters for layer in part.layers)
        for part in network_parts(config)
    )
    return used + count_dormant(config)


def count_dormant(config: NetworkStructure) -> int:
    """Count the parameters that no output depends on."""
    return sum(layer.parameters for layer in dormant_layers(config))


def count_operations(
    config: NetworkStructure,
    height: int,
    width: int,
    kind: Literal["convolution", "product"] | None = None,
) -> int:
    """Count the floating-point operations for one image of ``height`` x ``width`` pixels.

    A multiplication with an addition counts as two. Convolutions and matrix products are counted.
    Normalisations, activations and the 16 x 16 solves are not; together they are well below one
    percent.

    Args:
        config: the network.
        height: in pixels.
        width: in pixels.
        kind: count these only; None for both.
    """
    rows, columns = padded_size(config, height, width)
    images, pixels = 1, rows * columns
    if config.operator == "block-sampling" and config.proximal_domain == "block":
        images, pixels = pixels // config.block**2, config.block**2
    return images * sum(
        part.runs * layer.operations(pixels)
        for part in network_parts(config)
        for layer in part.layers
        if kind in (None, layer.kind)
    )


def padded_size(config: NetworkStructure, height: int, width: int) -> tuple[int, int]:
    """Return the sides in pixels to which the network pads, see `dgunet.network.dgunet.DGUNet`."""
    m = config.multiple
    rows, columns = -(-height // m) * m, -(-width // m) * m
    normalised = config.operator == "learned" and config.encoder_norm == "half-instance"
    return rows, columns + (m if normalised and rows == columns == m else 0)
