"""Options that make a step faster or reduce its memory, without changing the update."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dgunet.config import TrainingSettings
from dgunet.network.dgunet import LastStage, Stage

Model = Callable[[Tensor], list[Tensor]]


def compiled(model: nn.Module, settings: TrainingSettings) -> Model:
    """Return ``model``, compiled by ``torch.compile`` if the settings request it."""
    return cast(Model, torch.compile(model) if settings.compile else model)


def memory_format(settings: TrainingSettings) -> torch.memory_format:
    """Return the memory layout of images and weights."""
    return torch.channels_last if settings.channels_last else torch.contiguous_format


@contextmanager
def recomputing(network: nn.Module, enabled: bool) -> Iterator[None]:
    """Within the block, store only the inputs of each stage and recompute it in the backward pass.

    The activations take about the memory of one stage instead of all stages, at the cost of one
    more forward pass per step. A stage has no random operations, so the gradients are the same.
    """
    stages = [m for m in network.modules() if isinstance(m, (Stage, LastStage))] if enabled else []
    for stage in stages:
        recomputed: Any = partial(
            checkpoint, stage.forward, use_reentrant=False, preserve_rng_state=False
        )
        stage.forward = recomputed  # type: ignore[method-assign]
    try:
        yield
    finally:
        for stage in stages:
            del stage.forward
