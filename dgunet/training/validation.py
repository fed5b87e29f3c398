"""Validation: mean PSNR on images outside the training data, for model selection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from dgunet.training.distributed import World
from dgunet.training.stopping import StopRequest

LEAST_ERROR = 1e-10
"""Lower bound of the mean squared error, which gives equal images 100 dB."""


class ImagePairs(Protocol):
    """Image pairs to validate on."""

    def __len__(self) -> int:
        """Return the number of pairs."""

    def __getitem__(self, index: int, /) -> tuple[Tensor, Tensor]:
        """Return (input, target), each (C, H, W) float32 in [0, 1]."""


@dataclass(frozen=True)
class Validation:
    """Images to validate on, after every ``interval`` steps and after the last step."""

    images: ImagePairs
    interval: int

    def due(self, steps: int, iterations: int) -> bool:
        """Return whether a validation is due after ``steps`` of ``iterations`` steps."""
        return steps % self.interval == 0 or steps == iterations


@dataclass(frozen=True)
class ValidationReport:
    """One validation: ``psnr`` in dB after ``steps`` optimiser steps."""

    steps: int
    psnr: float
    best: bool
    """Whether the PSNR exceeds that of all earlier validations; its weights are then kept."""


def mean_psnr(
    network: nn.Module, images: ImagePairs, world: World, stop: StopRequest | None = None
) -> float | None:
    """Return the mean PSNR in dB of the last stage over the images.

    The PSNR of an image is computed over all its values, clamped to [0, 1]. Each process restores
    its share of the images, and all return the same mean. The network is left in training mode. If
    a process received a signal, the remaining images are skipped and the result is None.
    """
    device = next(network.parameters()).device
    values = torch.zeros(len(images), dtype=torch.float64, device=device)
    network.eval()
    try:
        for first in range(0, len(images), world.size):
            if stop is not None and world.largest(stop.number, device):
                return None
            if (index := first + world.rank) < len(images):
                values[index] = _psnr(network, *images[index])
    finally:
        network.train()
    return float(world.total(values).mean())


@torch.no_grad()
def _psnr(network: nn.Module, degraded: Tensor, target: Tensor) -> Tensor:
    device = next(network.parameters()).device
    restored = network(degraded.to(device)[None])[-1].clamp(0, 1)
    error = (restored - target.to(device)[None]).double().square().mean()
    psnr: Tensor = -10 * error.clamp(min=LEAST_ERROR).log10()
    return psnr
