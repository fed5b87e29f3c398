"""Ways to make a step faster or smaller that leave its mathematics alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dgunet.network.dgunet import LastStage, Stage
from dgunet.training.settings import TrainingConfig

Model = Callable[[Tensor], list[Tensor]]


def compiled(model: nn.Module, config: TrainingConfig) -> Model:
    """``model`` as the steps call it: through ``torch.compile`` if the configuration says so."""
    return cast(Model, torch.compile(model) if config.compile else model)


def memory_format(config: TrainingConfig) -> torch.memory_format:
    """How images and weights lie in memory."""
    return torch.channels_last if config.channels_last else torch.contiguous_format


@contextmanager
def recomputing(network: nn.Module, wanted: bool) -> Iterator[None]:
    """Keep, within the block, only what goes into each stage, and run it again going backward.

    The memory of activations falls from that of all stages to about that of one, for one more
    forward pass a step. Nothing in a stage is drawn at random, so the gradients are the same.
    """
    stages = [m for m in network.modules() if isinstance(m, (Stage, LastStage))] if wanted else []
    for stage in stages:
        again: Any = partial(
            checkpoint, stage.forward, use_reentrant=False, preserve_rng_state=False
        )
        stage.forward = again  # type: ignore[method-assign]
    try:
        yield
    finally:
        for stage in stages:
            del stage.forward
