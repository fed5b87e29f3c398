"""Scores of the protocols for batches of tensors, in float64 on the device of the tensors.

Used for validation during training and for scoring on the device that restores. Tests check that
the scores agree with `protocols` to 1e-9, also on a GPU where one is available.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from dgunet.evaluation.metric_protocol import Protocol
from dgunet.evaluation.ssim import SsimDefinition
from dgunet.system.errors import EvaluationError


def score_batch(restored: Tensor, target: Tensor, protocol: Protocol) -> tuple[Tensor, Tensor]:
    """PSNR and SSIM of every image in a batch.

    Args:
        restored: network output, float (B, C, H, W), quantised here by the protocol.
        target: uint8, the same shape and device; C is 3, or 1 for ``cs-y``.
        protocol: any protocol that scores locally and needs no alignment.

    Returns:
        Two float64 tensors (B,) on the same device; identical images have the PSNR that
        the protocol defines.

    Raises:
        EvaluationError: for shapes, types or values that cannot be scored, and for protocols
            without a definition over tensors (``realblur-aligned``, ``dnd-server``).
    """
    definition = protocol.window
    if definition is None:
        raise EvaluationError(
            f"protocol {protocol.name} cannot be computed over batches.",
            "Score its images one by one with Protocol.score.",
        )
    if restored.shape != target.shape or target.dtype != torch.uint8:
        raise EvaluationError(
            f"restored {tuple(restored.shape)} {restored.dtype} and target "
            f"{tuple(target.shape)} {target.dtype} cannot be scored.",
            "Pass a float and a uint8 tensor of the same shape (B, C, H, W).",
        )
    if target.shape[1] != protocol.channels or min(target.shape[-2:]) < definition.size:
        raise EvaluationError(
            f"images of shape {tuple(target.shape[1:])} cannot be scored under {protocol.name}.",
            f"It needs {protocol.channels} channels and sides of {definition.size} pixels or more.",
        )
    if not bool(torch.isfinite(restored).all()):
        raise EvaluationError(
            "the restored images hold NaN or infinite values.",
            "The weights are damaged or the training diverged.",
        )
    x, y = _scored(restored, target, protocol)
    identical = 100.0 if protocol.name == "cs-y" else math.inf
    return _psnr(x, y, protocol.data_range, identical), _ssim(x, y, definition)


def _scored(restored: Tensor, target: Tensor, protocol: Protocol) -> tuple[Tensor, Tensor]:
    """Both images as float64 in units of the protocol's data range."""
    clipped = restored.clamp(0.0, 1.0)
    if protocol.name == "cs-y":
        return clipped.double() * 255.0, target.double()
    if protocol.name == "sidd-blocks":
        return clipped.float().double(), (target.float() / 255.0).double()
    levels = (clipped.float() * 255.0).round().double()
    if protocol.name == "rain-y":
        return _matlab_luma(levels), _matlab_luma(target.double())
    return levels, target.double()


def _matlab_luma(levels: Tensor) -> Tensor:
    weights = levels.new_tensor([65.481, 128.553, 24.966]) / 255.0
    luma = (levels * weights[:, None, None]).sum(1, keepdim=True)
    # As in `colour.matlab_luma`: exact values are 1/255000 apart.
    return (luma + (16.5 + 1e-9)).floor()


def _psnr(x: Tensor, y: Tensor, peak: float, identical: float) -> Tensor:
    error = (x - y).square().flatten(1).mean(1)
    value = 10.0 * torch.log10(peak * peak / error)
    return torch.where(error == 0.0, torch.full_like(value, identical), value)


def _ssim(x: Tensor, y: Tensor, definition: SsimDefinition) -> Tensor:
    taps = torch.from_numpy(definition.taps).to(x)
    channels = x.shape[1]
    mixing = (
        torch.from_numpy(definition.colour_mixing(channels)).to(x) if definition.volume else None
    )
    reach = definition.size // 2

    def averages(image: Tensor) -> Tensor:
        if definition.border == "replicate":
            image = functional.pad(image, (reach,) * 4, mode="replicate")
        planes = image.flatten(0, 1)[:, None]
        planes = functional.conv2d(planes, taps[None, None, :, None])
        planes = functional.conv2d(planes, taps[None, None, None, :])
        filtered = planes.view(-1, channels, *planes.shape[-2:])
        return filtered if mixing is None else torch.einsum("dc,bchw->bdhw", mixing, filtered)

    c1, c2 = definition.constants
    mean_x, mean_y = averages(x), averages(y)
    product = mean_x * mean_y
    squares = mean_x.square() + mean_y.square()
    norm = definition.covariance_norm
    covariance = norm * (averages(x * y) - product)
    variances = norm * (averages(x.square() + y.square()) - squares)
    similarity = (2 * product + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2))
    return similarity.flatten(1).mean(1)
