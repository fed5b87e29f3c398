"""What every restoration takes: a network or a function, its device, and the error of its limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from dgunet.system.errors import EvaluationError

Network = Callable[[Tensor], Sequence[Tensor]]
"""Maps images (B, C, H, W) to the outputs of all stages, the result last."""


class TooLargeError(EvaluationError):
    """There is not enough memory to restore an image."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint or "Use a machine with more memory.")


def device_of(network: object) -> torch.device:
    """Device of ``network``; the CPU for plain functions."""
    if isinstance(network, nn.Module):
        for parameter in network.parameters():
            return parameter.device
    return torch.device("cpu")
