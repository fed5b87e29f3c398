"""The interface of the training loop to its data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class Batches(Protocol):
    """The batches of a training; any part of any step is available, in any order."""

    @property
    def batch(self) -> int:
        """Samples per step, over all processes."""

    def part(self, step: int, positions: Sequence[int], /) -> tuple[Tensor, Tensor]:
        """(input, target) of the samples at ``positions`` of batch ``step``.

        Each is (B, C, H, W) float32 in [0, 1].
        """
