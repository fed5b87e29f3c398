"""Backends within torch: another memory format, and the compiler."""

from __future__ import annotations

import torch

from dgunet.backends.stages import Run, StageTensors


def channels_last(stage: StageTensors) -> Run:
    """Keep features in channels-last order, which most convolution kernels compute in anyway."""
    return stage.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def compiled(stage: StageTensors) -> Run:
    """Compile with constant weights (freezing), in channels-last order; takes minutes.

    The first image of another size compiles again, for all sizes.
    """
    return torch.compile(channels_last(stage), options={"freezing": True})
