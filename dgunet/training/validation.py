"""How good the network is on pictures it does not learn from, and which weights are the result."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from dgunet.training.distributed import World

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


def mean_psnr(network: nn.Module, pictures: Pictures, world: World) -> float:
    """Mean PSNR in dB of the last stage's output, cut to [0, 1], over all values of each picture.

    Every process restores its share of the pictures; all get the same number, whatever their
    number. The network is left in training mode.
    """
    device = next(network.parameters()).device
    values = torch.zeros(len(pictures), dtype=torch.float64, device=device)
    network.eval()
    with torch.no_grad():
        for number in range(world.rank, len(pictures), world.size):
            degraded, target = (image.to(device)[None] for image in pictures[number])
            restored = network(degraded)[-1].clamp(0, 1)
            error = (restored - target).double().square().mean().clamp(min=LEAST_ERROR)
            values[number] = -10 * error.log10()
    network.train()
    return float(world.total(values).mean())
