"""Operations, duration and memory of evaluating one network on one test set.

Counted is what the protocol does: the padding of the network, the 128 x 128 tiles of compressive
sensing with their extra row and column, the eight passes of the self-ensemble. Not counted are
reading and scoring, which run beside the network and take far less.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path

import torch

from dgunet.costs.image_sizes import ImageSizes, image_sizes
from dgunet.costs.machines import Machine
from dgunet.data.catalogue.entries import dataset
from dgunet.evaluation.memory import bytes_per_pixel
from dgunet.evaluation.metric_protocol import Protocol
from dgunet.evaluation.protocols import protocol
from dgunet.network import DGUNet, DGUNetConfig
from dgunet.network.size import count_operations, count_parameters, padded_size
from dgunet.system.errors import ConfigError

ENSEMBLE = 8
"""Passes of the self-ensemble, see `dgunet.evaluation.restoration.eightfold`."""

TILES_TOGETHER = 16
"""Tiles in one batch, see `dgunet.evaluation.restoration.in_blocks`."""

FLOAT = 4
"""Bytes of a float32."""


@dataclass(frozen=True)
class EvaluationCost:
    """The cost of one evaluation.

    Attributes:
        dataset: the test set.
        config: the network.
        sizes: sizes of its images.
        passes: forward passes of single images or tiles.
        operations: floating-point operations of all passes, as in `dgunet.network.describe`.
        pixels_together: pixels of the largest batch that the network sees, for the memory.
    """

    dataset: str
    config: DGUNetConfig
    sizes: ImageSizes
    passes: int
    operations: int
    pixels_together: int

    def seconds(self, machine: Machine, count: int = 1) -> float:
        """Return the duration on ``count`` machines that share the images evenly."""
        return machine.seconds(self.operations, count)

    @property
    def memory(self) -> int:
        """Estimate the bytes that the largest image takes, with the network's weights.

        The estimate is `dgunet.evaluation.memory.bytes_per_pixel`, measured on a small probe, and
        refers to a CPU. The network is built and run once for it; the first use takes about a
        second. Python and torch take a few hundred MB more, and CUDA about as much.
        """
        return round(self.pixels_together * _bytes_per_pixel(self.config)) + weight_bytes(
            self.config
        )


def evaluation_cost(
    name: str,
    config: DGUNetConfig,
    *,
    store: Path | None = None,
    sizes: ImageSizes | None = None,
) -> EvaluationCost:
    """Count the evaluation of test set ``name`` with the network ``config``.

    Args:
        name: a test set of the catalogue.
        config: a network of the set's task.
        store: folder of the prepared store, whose sizes are used if it exists.
        sizes: sizes of the images, instead of those of the store or the stated ones.

    Raises:
        ConfigError: if the network is of another task.
        DataError: if the dataset is unknown or its store is damaged.
    """
    info = dataset(name)
    if config.task != info.task:
        raise ConfigError(
            f"{name} is a set of {info.task}, the network is one of {config.task}.",
            f"Use a network for {info.task}.",
        )
    sizes = sizes or image_sizes(name, store)
    method = protocol(info.protocol)
    passes = operations = largest = 0
    for (height, width), images in sizes.counts:
        count, (rows, columns) = image_passes(method, height, width)
        passes += count * images
        operations += count * images * count_operations(config, rows, columns)
        together = min(count, TILES_TOGETHER) if method.tile else 1
        largest = max(largest, together * math.prod(padded_size(config, rows, columns)))
    return EvaluationCost(name, config, sizes, passes, operations, largest)


def image_passes(method: Protocol, height: int, width: int) -> tuple[int, tuple[int, int]]:
    """Return the forward passes for one image under a protocol, and the size (H, W) of each.

    The turned passes of the self-ensemble have the same padded area, so one size stands for all.
    """
    ensemble = ENSEMBLE if method.self_ensemble else 1
    if method.tile is None:
        return ensemble, (height, width)
    tiles = (height // method.tile + 1) * (width // method.tile + 1)
    return ensemble * tiles, (method.tile, method.tile)


def weight_bytes(config: DGUNetConfig) -> int:
    """Return the bytes of the network's weights in float32."""
    return FLOAT * count_parameters(config)


@functools.cache
def _bytes_per_pixel(config: DGUNetConfig) -> float:
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay the same
        return bytes_per_pixel(DGUNet(config).eval(), config.channels)
