"""What a restoration is given: a network or a function, its device; the error of its limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from dgunet.system.errors import EvaluationError

Network = Callable[[Tensor], Sequence[Tensor]]
"""Maps images (B, C, H, W) to the outputs of all stages, the result last."""


class TooLargeError(EvaluationError):
    """There is not enough memory to restore an image.

    Args:
        message: what is too large.
        hint: how to fix it.
        least: bytes that are missing at least; 0 if unknown.
    """

    def __init__(self, message: str, hint: str = "", *, least: int = 0) -> None:
        self.least = least
        if not hint and least:
            hint = f"Allow at least {least / 1e6:,.1f} MB more (--memory)."
        super().__init__(message, hint or "Use a machine with more memory.")


def device_of(network: object) -> torch.device:
    """Device of ``network``; the CPU for plain functions."""
    if isinstance(network, nn.Module):
        for parameter in network.parameters():
            return parameter.device
    return torch.device("cpu")
