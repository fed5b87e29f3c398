"""Interface between the training loop and its data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class Batches(Protocol):
    """The batches of a training run; any part of any step can be read in any order."""

    @property
    def batch(self) -> int:
        """Number of samples per step, over all processes."""

    def part(self, step: int, positions: Sequence[int], /) -> tuple[Tensor, Tensor]:
        """Return (input, target) of the samples at ``positions`` of batch ``step``.

        Each is (B, C, H, W) float32 in [0, 1].
        """
