"""Learning rate schedules: linear warm-up and half a cosine (Section 4.1), or halvings."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    SequentialLR,
)

from dgunet.config import TrainingSettings
from dgunet.system.errors import ConfigError


def rate_schedule(optimizer: Optimizer, settings: TrainingSettings) -> LRScheduler:
    """Return the schedule: `warmup_cosine`, or the rate halved at the updates ``halve_at``.

    Raises:
        ConfigError: if the warm-up does not fit into the training.
    """
    if settings.halve_at:
        return MultiStepLR(optimizer, list(settings.halve_at), gamma=0.5)
    updates = -(-settings.iterations // settings.rate_every)
    return warmup_cosine(
        optimizer,
        warmup=settings.warmup,
        period=settings.rate_period or updates - settings.warmup,
        minimum=settings.learning_rate_min,
    )


def warmup_cosine(optimizer: Optimizer, *, warmup: int, period: int, minimum: float) -> LRScheduler:
    """Rise linearly to the optimiser's rate in ``warmup`` updates, then fall to ``minimum``.

    The rate before the first update is ``rate / warmup``. It reaches the full rate after ``warmup``
    updates and the minimum ``period`` updates later. The paper's schedule updates the rate at every
    step, that of the released code once per epoch. A minimum equal to the rate keeps it constant.

    Raises:
        ConfigError: if the period is not positive.
    """
    if period < 1:
        raise ConfigError(
            f"a warm-up of {warmup} updates does not fit into a run of {warmup + period}.",
            "Reduce warmup, or increase iterations.",
        )
    cosine = CosineAnnealingLR(optimizer, T_max=period, eta_min=minimum)
    if warmup == 0:
        return cosine
    rise = LinearLR(optimizer, start_factor=1 / warmup, total_iters=max(warmup - 1, 1))
    return SequentialLR(optimizer, [rise, cosine], milestones=[warmup])
