"""Backends within torch: another memory format, and the compiler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from dgunet.backends.stages import Run, StageTensors

PACKAGE = "torch"


def channels_last(stage: StageTensors) -> Run:
    """Keep features in channels-last order, which most convolution kernels compute in anyway."""
    last = stage.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return _called(last)


def compiled(stage: StageTensors) -> Run:
    """Compile with constant weights (freezing), in channels-last order; takes minutes.

    The first image of another size compiles again, for all sizes.
    """
    last = stage.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return _called(torch.compile(last, options={"freezing": True}))


def _called(stage: Callable[..., Any]) -> Run:
    def run(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        made: Sequence[Tensor] = stage(*tensors)
        return made

    return run
