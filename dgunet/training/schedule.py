"""The learning rate: Section 4.1's linear warm-up and half a cosine, or halvings."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    SequentialLR,
)

from dgunet.system.errors import ConfigError
from dgunet.training.settings import TrainingConfig


def schedule(optimizer: Optimizer, config: TrainingConfig) -> LRScheduler:
    """What ``config`` says: `warmup_cosine`, or the rate halved at the moves of ``halve_at``.

    Raises:
        ConfigError: if the warm-up does not fit into the run, or stands beside halvings.
    """
    if config.halve_at:
        if config.warmup:
            raise ConfigError(
                f"a warm-up of {config.warmup} beside halvings of the rate.", "Set warmup to 0."
            )
        return MultiStepLR(optimizer, list(config.halve_at), gamma=0.5)
    moves = -(-config.iterations // config.rate_every)
    return warmup_cosine(
        optimizer,
        warmup=config.warmup,
        period=config.rate_period or moves - config.warmup,
        minimum=config.learning_rate_min,
    )


def warmup_cosine(optimizer: Optimizer, *, warmup: int, period: int, minimum: float) -> LRScheduler:
    """Rise linearly to the optimiser's rate in ``warmup`` moves, then fall to ``minimum``.

    Before the first move the rate is already ``rate / warmup``; after ``warmup`` moves it is the
    full rate, and ``period`` moves later the minimum. The paper's runs move at every step; the
    released code moves once an epoch. A minimum equal to the rate keeps it constant.

    Raises:
        ConfigError: if the period is not positive.
    """
    if period < 1:
        raise ConfigError(
            f"a warm-up of {warmup} moves does not fit into a run of {warmup + period}.",
            "Lower warmup, or raise iterations.",
        )
    cosine = CosineAnnealingLR(optimizer, T_max=period, eta_min=minimum)
    if warmup == 0:
        return cosine
    rise = LinearLR(optimizer, start_factor=1 / warmup, total_iters=max(warmup - 1, 1))
    return SequentialLR(optimizer, [rise, cosine], milestones=[warmup])
