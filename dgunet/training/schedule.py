"""The learning-rate schedule of Section 4.1: linear warm-up, then half a cosine."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR


def warmup_cosine(optimizer: Optimizer, *, warmup: int, period: int, minimum: float) -> LRScheduler:
    """Rise linearly to the optimiser's rate in ``warmup`` moves, then fall to ``minimum``.

    Before the first move the rate is already ``rate / warmup``; after ``warmup`` moves it is the
    full rate, and ``period`` moves later the minimum. The paper's runs move at every step; the
    released code moves once an epoch. A minimum equal to the rate keeps it constant.

    Raises:
        ValueError: if the period is not positive.
    """
    if period < 1:
        raise ValueError(
            f"a cosine of {period} moves: the warm-up of {warmup} does not fit into the run"
        )
    cosine = CosineAnnealingLR(optimizer, T_max=period, eta_min=minimum)
    if warmup == 0:
        return cosine
    rise = LinearLR(optimizer, start_factor=1 / warmup, total_iters=max(warmup - 1, 1))
    return SequentialLR(optimizer, [rise, cosine], milestones=[warmup])
