"""Images, step sizes, data residuals and adjointness gaps of every stage of a network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor
from torch.func import jvp

from dgunet.network.dgunet import DGUNet, LastStage, Stage
from dgunet.network.gradient import FlexibleGradientDescent


@dataclass(frozen=True)
class StageReport:
    """Values of stage k; the last three are None without a gradient step."""

    stage: int
    v: Tensor
    """v^k, (B, C, H, W)."""
    x: Tensor
    """x_hat^k, (B, C, H, W)."""
    step_size: float | None
    """rho^k."""
    data_residual: float | None
    """Root mean square of A^k x_hat^{k-1} - y, the residual that the gradient step uses."""
    adjointness_gap: float | None
    """Deviation of the two maps of the gradient step from an adjoint pair: 0 for an exact pair,
    about 1 for unrelated maps. See :func:`adjointness_gap`."""


def inspect_network(
    network: DGUNet, image: Tensor, *, measured: bool = False, seed: int = 0
) -> list[StageReport]:
    """Run ``network`` on ``image`` and return the values of every stage.

    Args:
        network: the network.
        image: (B, C, H, W) with values in [0, 1] and any H and W, as for the network itself.
            Residuals and gaps are computed on the padded image.
        measured: whether ``image`` contains compressive measurements (B, M, H / block, W / block).
        seed: seed of the random probes of the adjointness gap.

    Raises:
        ConfigError: if the shape does not fit the network.
    """
    steps: list[tuple[FlexibleGradientDescent | None, Tensor, Tensor]] = []

    def record(module: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(module, Stage | LastStage)
        steps.append((module.gradient, inputs[0], inputs[1]))

    modules = {network.first, *network.middle, network.last}
    handles = [module.register_forward_pre_hook(record) for module in modules]
    try:
        with torch.no_grad():
            images = network.unfold_measurements(image) if measured else network.unfold(image)
    finally:
        for handle in handles:
            handle.remove()
    reports = []
    for k, ((gradient, x, y), (v, x_hat)) in enumerate(zip(steps, images, strict=True), start=1):
        rho = residual = gap = None
        if gradient is not None:
            with torch.no_grad():
                difference = gradient.measure(x, network.operator) - y
            rho = gradient.rho.item()
            residual = difference.square().mean().sqrt().item()
            gap = adjointness_gap(network, gradient, x, difference, seed=seed)
        reports.append(StageReport(k, v, x_hat, rho, residual, gap))
    return reports


def adjointness_gap(
    network: DGUNet,
    gradient: FlexibleGradientDescent,
    x: Tensor,
    residual: Tensor,
    *,
    probes: int = 4,
    seed: int = 0,
) -> float:
    """Compute the mean over random u, w of |<J u, w> - <u, K w>| / sqrt(|J u| |w| |u| |K w|).

    J and K are the Jacobians of the two maps of the gradient step, at ``x`` and at ``residual``.
    Eq. (7) calls the second map the transpose of the first, but both are learned independently. In
    high dimensions inner products of unrelated vectors are small relative to their norms, so each
    probe w is J u plus noise of the same norm.

    Args:
        network: the network, for its known operator.
        gradient: the gradient step.
        x: the estimate (B, C, H, W) before the step.
        residual: A x - y.
        probes: number of random pairs u, w.
        seed: seed of the probes.
    """
    generator = torch.Generator().manual_seed(seed)
    total = 0.0
    for _ in range(probes):
        u = torch.randn(x.shape, generator=generator).to(x)
        noise = torch.randn(residual.shape, generator=generator).to(residual)
        with torch.no_grad():
            ju = jvp(lambda z: gradient.measure(z, network.operator), (x,), (u,))[1]
            w = ju / ju.norm().clamp_min(1e-30) + noise / noise.norm()
            kw = jvp(lambda r: gradient.back_project(r, network.operator), (residual,), (w,))[1]
        scale = (ju.norm() * w.norm() * u.norm() * kw.norm()).sqrt().clamp_min(1e-30)
        total += ((ju * w).sum() - (u * kw).sum()).abs().div(scale).item()
    return total / probes


def stage_strip(reports: list[StageReport], observed: Tensor, *, longest: int = 512) -> Image.Image:
    """Draw two rows of images: input, v^1 ... v^K above; input, x_hat^1 ... x_hat^K below.

    Args:
        reports: the values of :func:`inspect_network`; the first image of the batch is drawn.
        observed: the input (B, C, H, W) with values in [0, 1].
        longest: largest side of a drawn image in pixels; larger images are scaled down.
    """
    label = 14
    rows = [
        [("input", observed), *((f"v{r.stage}", r.v) for r in reports)],
        [("input", observed), *((f"x{r.stage}", r.x) for r in reports)],
    ]
    width, height = _thumbnail(observed, longest).size
    strip = Image.new("RGB", (len(rows[0]) * width, len(rows) * (height + label)), "white")
    draw = ImageDraw.Draw(strip)
    for row, cells in enumerate(rows):
        for column, (name, image) in enumerate(cells):
            corner = (column * width, row * (height + label))
            draw.text((corner[0] + 2, corner[1] + 1), name, fill="black")
            strip.paste(_thumbnail(image, longest), (corner[0], corner[1] + label))
    return strip


def _thumbnail(image: Tensor, longest: int) -> Image.Image:
    thumbnail = Image.fromarray(to_uint8(image)).convert("RGB")
    thumbnail.thumbnail((longest, longest), Image.Resampling.BOX)
    return thumbnail


def to_uint8(image: Tensor) -> NDArray[np.uint8]:
    """Convert the first image of a batch (B, C, H, W) to 8 bits: HxWx3, or HxW for one channel.

    Values are clamped to [0, 1], scaled to [0, 255] and rounded.
    """
    pixels = image[0].detach().float().clamp(0, 1).mul(255).round().to(torch.uint8)
    return pixels.permute(1, 2, 0).squeeze(2).cpu().numpy()
