"""MixUp augmentation of the released denoising recipe, which the paper does not mention."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dgunet.training.batches import Batches

ALPHA = 0.6
_MIX = 3
"""First word of the seed; differs from those of the sample order and of the augmentation."""


class MixUp:
    """Batches in which each sample is blended with another of its batch, from step ``after`` on.

    Sample j becomes lambda_j x_j + (1 - lambda_j) x_p(j), the same for input and target. The
    permutation p and lambda_j ~ Beta(0.6, 0.6) are drawn from (seed, step).
    """

    def __init__(self, batches: Batches, *, after: int, seed: int) -> None:
        self._batches = batches
        self._after = after
        self._seed = seed

    @property
    def batch(self) -> int:
        """Number of samples per step."""
        return self._batches.batch

    def part(self, step: int, positions: Sequence[int], /) -> tuple[Tensor, Tensor]:
        """Return the samples at ``positions`` of batch ``step``; partners are from all of it."""
        own = self._batches.part(step, positions)
        if step < self._after:
            return own
        generator = np.random.default_rng([_MIX, self._seed, step])
        partners = generator.permutation(self.batch)
        weights = generator.beta(ALPHA, ALPHA, self.batch).astype(np.float32)
        other = self._batches.part(step, [int(partners[position]) for position in positions])
        weight = torch.from_numpy(weights[list(positions)]).view(-1, 1, 1, 1)
        degraded, target = (
            weight * mine + (1 - weight) * theirs for mine, theirs in zip(own, other, strict=True)
        )
        return degraded, target
