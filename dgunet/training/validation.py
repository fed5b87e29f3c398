"""How good the network is on pictures it does not learn from, and which weights are the result."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from dgunet.training.distributed import World
from dgunet.training.stopping import Stop

LEAST_ERROR = 1e-10
"""Smallest mean squared error that counts, so that equal pictures have 100 dB."""


@dataclass(frozen=True)
class ValidationPlan:
    """When to validate and on what; the weights of the highest PSNR are the result."""

    interval: int
    """Steps between two validations; the last step is validated too."""
    fraction: float = 0.0
    """Of the training set's photographs, held out of the training."""
    test_set: str | None = None
    """Choose on this test set instead, as the released code does; the result says so."""
    crop: int = 0
    """Side of the square cut from the middle of each picture; 0: the whole picture."""

    def knobs(self) -> dict[str, Any]:
        """What to write under ``validation`` of a training's knobs; defaults left out."""
        return {
            field.name: value
            for field in dataclasses.fields(self)
            if (value := getattr(self, field.name)) != field.default
        }


class Pictures(Protocol):
    """Pairs to validate on."""

    def __len__(self) -> int:
        """How many."""

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        """(input, target), each (C, H, W) float32 in [0, 1]."""


@dataclass(frozen=True)
class Validation:
    """What `dgunet.training.train` validates on, after every ``interval`` steps and the last."""

    pictures: Pictures
    interval: int

    def due(self, steps: int, iterations: int) -> bool:
        """Whether to validate when ``steps`` of ``iterations`` are made."""
        return steps % self.interval == 0 or steps == iterations


@dataclass(frozen=True)
class ValidationReport:
    """One validation: ``psnr`` in dB when ``steps`` optimiser steps were made."""

    steps: int
    psnr: float
    best: bool
    """Whether no earlier one was as good: its weights are kept."""


def mean_psnr(
    network: nn.Module, pictures: Pictures, world: World, stop: Stop | None = None
) -> float | None:
    """Mean PSNR in dB of the last stage's output, cut to [0, 1], over all values of each picture.

    Every process restores its share of the pictures; all get the same number, whatever their
    number. The network is left in training mode. None: ``stop`` was told a signal in some process,
    and the rest of the pictures is left.
    """
    device = next(network.parameters()).device
    values = torch.zeros(len(pictures), dtype=torch.float64, device=device)
    network.eval()
    try:
        for first in range(0, len(pictures), world.size):
            if stop is not None and world.largest(stop.number, device):
                return None
            if (number := first + world.rank) < len(pictures):
                values[number] = _psnr(network, *pictures[number])
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
