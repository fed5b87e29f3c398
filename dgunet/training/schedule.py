"""The learning-rate schedule of Section 4.1: linear warm-up, then half a cosine."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR


def warmup_cosine(
    optimizer: Optimizer, *, warmup: int, iterations: int, minimum: float
) -> LRScheduler:
    """Rise linearly to the optimiser's rate in ``warmup`` steps, then fall to ``minimum``.

    The first step already has ``rate / warmup``; the cosine's last step is step ``iterations``.

    Raises:
        ValueError: if the warm-up is not shorter than the run.
    """
    if warmup >= iterations:
        raise ValueError(f"warm-up of {warmup} steps does not fit into {iterations} iterations")
    cosine = CosineAnnealingLR(optimizer, T_max=iterations - warmup, eta_min=minimum)
    if warmup == 0:
        return cosine
    rise = LinearLR(optimizer, start_factor=1 / warmup, total_iters=max(warmup - 1, 1))
    return SequentialLR(optimizer, [rise, cosine], milestones=[warmup])
