"""MixUp, as the released denoising recipe has it and the paper does not say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dgunet.training.loop import Batches

ALPHA = 0.6
_MIX = 3
"""Keeps this stream apart from those of orders and samples."""


class MixUp:
    """``batches`` with every sample blended with another one of its batch, from step ``after`` on.

    Sample j becomes lambda_j times itself plus 1 - lambda_j times sample p(j), input and target
    alike; p is a random permutation and lambda_j ~ Beta(0.6, 0.6), both drawn from (seed, step).
    """

    def __init__(self, batches: Batches, *, after: int, seed: int) -> None:
        self._batches = batches
        self._after = after
        self._seed = seed

    @property
    def batch(self) -> int:
        """Samples a step."""
        return self._batches.batch

    def part(self, step: int, places: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The samples at ``places`` of batch ``step``, blended; partners may lie elsewhere."""
        own = self._batches.part(step, places)
        if step < self._after:
            return own
        generator = np.random.default_rng([_MIX, self._seed, step])
        partners = generator.permutation(self.batch)
        weights = generator.beta(ALPHA, ALPHA, self.batch).astype(np.float32)
        other = self._batches.part(step, [int(partners[place]) for place in places])
        weight = torch.from_numpy(weights[list(places)]).view(-1, 1, 1, 1)
        degraded, target = (
            weight * mine + (1 - weight) * theirs for mine, theirs in zip(own, other, strict=True)
        )
        return degraded, target
