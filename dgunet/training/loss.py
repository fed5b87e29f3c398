"""The training loss over all stages, Eq. (10)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def stage_losses(x_hat: Sequence[Tensor], x: Tensor) -> Tensor:
    r"""Per-stage terms of Eq. (10), :math:`\lVert x - \hat{x}^k \rVert_2^2`, as means.

    The paper prints the plain sum of squares. Its minimiser is that of the mean, whose gradient
    does not grow with patch and batch, so the printed learning rate keeps its meaning.

    Args:
        x_hat: the K stage outputs, each (B, C, H, W), unclamped.
        x: ground truth (B, C, H, W) in [0, 1].

    Returns:
        Tensor (K,); the loss of Eq. (10) is its sum.

    Raises:
        ValueError: if an output's shape is not the ground truth's.
    """
    for k, stage in enumerate(x_hat, start=1):
        if stage.shape != x.shape:
            raise ValueError(
                f"stage {k} has shape {tuple(stage.shape)}, the target has {tuple(x.shape)}"
            )
    return torch.stack([(stage - x).square().mean() for stage in x_hat])
