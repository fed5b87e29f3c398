"""Operations of one forward pass for any image size, from two counts of the network."""

from __future__ import annotations

import functools

from dgunet.network import DGUNetConfig
from dgunet.network.describe import describe_network


def forward_operations(config: DGUNetConfig, height: int, width: int) -> int:
    """Return the operations of one forward pass for an image of ``height`` x ``width`` pixels.

    The number is that of `dgunet.network.describe.describe_network`. The network pads the sides to
    multiples of ``config.multiple``, so its operations grow with the number of squares of that
    side, by the same amount for each; counting two sizes is therefore enough for all.
    """
    side = config.multiple
    rows, columns = -(-height // side), -(-width // side)
    if rows == columns == 1:  # such an image is padded further, see `DGUNet`
        return describe_network(config, (height, width)).flops
    constant, each = _line(config)
    return constant + each * rows * columns


@functools.cache
def _line(config: DGUNetConfig) -> tuple[int, int]:
    """Return the operations that every image takes, and those of each square of its padded size."""
    few, many = (describe_network(config, (n * config.multiple,) * 2).flops for n in (2, 4))
    each = (many - few) // (16 - 4)
    return few - 4 * each, each
