"""Training losses over all stages: Eq. (10) and the losses of the released code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from dgunet.config.training import Loss

LOSSES: tuple[Loss, ...] = get_args(Loss)

EPSILON = 1e-3
"""Constant of the Charbonnier distance; equal to the distance of equal images."""

EDGE_WEIGHT = 0.05

_KERNEL = (0.05, 0.25, 0.4, 0.25, 0.05)


def stage_losses(x_hat: Sequence[Tensor], x: Tensor, loss: Loss = "l2") -> Tensor:
    r"""Compute the loss term of each stage; the loss is their unweighted sum.

    ``l2`` is Eq. (10), :math:`\lVert x - \hat{x}^k \rVert_2^2`, as a mean. The paper prints the
    plain sum of squares. The mean has the same minimiser, and its gradient does not grow with the
    patch and batch sizes, so the printed learning rate applies. The other losses are those of the
    released code: ``charbonnier-edge`` (deraining, deblurring) is Charbonnier + 0.05 Edge;
    ``charbonnier-clamped`` (denoising) and ``l2-clamped`` (compressive sensing) clamp the stage
    outputs to [0, 1] first. All are means over samples, so a batch may be processed in parts.

    Args:
        x_hat: the K stage outputs, each (B, C, H, W), unclamped.
        x: ground truth (B, C, H, W) in [0, 1].
        loss: one of ``LOSSES``.

    Returns:
        Tensor (K,).

    Raises:
        ValueError: if the shape of an output differs from that of the ground truth.
    """
    for k, stage in enumerate(x_hat, start=1):
        if stage.shape != x.shape:
            raise ValueError(
                f"stage {k} has shape {tuple(stage.shape)}, the target has {tuple(x.shape)}"
            )
    return torch.stack([_TERMS[loss](stage, x) for stage in x_hat])


def l2(x_hat: Tensor, x: Tensor) -> Tensor:
    """Compute the mean squared difference."""
    return (x_hat - x).square().mean()


def charbonnier(x_hat: Tensor, x: Tensor) -> Tensor:
    """Compute the mean over all elements of sqrt(difference^2 + 1e-6)."""
    difference = x_hat - x
    # Not sqrt: torch takes it from MKL, whose last bit depends on the kind of CPU.
    return torch.hypot(difference, difference.new_full((), EPSILON)).mean()


def edge(x_hat: Tensor, x: Tensor) -> Tensor:
    """Compute the Charbonnier distance between the Laplacians of images (B, C, H, W)."""
    return charbonnier(laplacian(x_hat), laplacian(x))


def laplacian(image: Tensor) -> Tensor:
    """Compute one level of the Laplacian pyramid of ``image`` (B, C, H, W), of the same shape.

    The image is blurred, subsampled by two, upsampled with zeros between the samples and blurred
    again with four times the kernel; the result is subtracted from the image.
    """
    blurred = _blur(image)
    even = torch.zeros_like(blurred)
    even[..., ::2, ::2] = 4 * blurred[..., ::2, ::2]
    return image - _blur(even)


def _blur(image: Tensor) -> Tensor:
    """Blur each channel with a 5 x 5 binomial-like kernel and replicated borders."""
    line = torch.tensor(_KERNEL, dtype=image.dtype, device=image.device)
    channels = image.shape[1]
    kernel = torch.outer(line, line).expand(channels, 1, 5, 5)
    padded = F.pad(image, (2, 2, 2, 2), mode="replicate")
    return F.conv2d(padded, kernel, groups=channels)


_TERMS: dict[Loss, Callable[[Tensor, Tensor], Tensor]] = {
    "l2": l2,
    "l2-clamped": lambda x_hat, x: l2(x_hat.clamp(0, 1), x),
    "charbonnier-edge": lambda x_hat, x: charbonnier(x_hat, x) + EDGE_WEIGHT * edge(x_hat, x),
    "charbonnier-clamped": lambda x_hat, x: charbonnier(x_hat.clamp(0, 1), x),
}
