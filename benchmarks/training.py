"""Training steps of the released networks: the literal step beside that of a training.

A step is one batch of noise: forward pass, loss of the released code over all stages, backward pass
and Adam. The first step of both sides, from equal weights, must give the same loss and gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.pairs import Pair, expected, in_ways
from benchmarks.worker import Work
from dgunet.network.config import preset
from dgunet.network.describe import describe_network

BASELINE = "literal"
WAYS: dict[str, dict[str, bool]] = {
    "plain": {},
    "channels_last": {"channels_last": True},
    "recompute": {"recompute": True},
    "fused_adam": {"fused_adam": True},
    "fast": {"fast": True},
}
GPU_WAYS: dict[str, dict[str, bool]] = {
    "bfloat16": {"bfloat16": True},
    "compile": {"compile": True},
}
"""Fields of `dgunet.config.TrainingSettings`; the second group is measured on a GPU only.

``fast`` is what `dgunet.training.fast` decides on the machine; its column says what."""

LEARNING_RATE = 1e-5
TOLERANCE = 1e-4
"""Largest relative difference of loss and gradients from the literal step in float32."""

PASSES = 3
"""Cost of a step in forward passes: a backward pass takes two."""


def _batch(channels: int, patch: int, batch: int) -> tuple[Any, Any]:
    import torch

    generator = torch.Generator().manual_seed(1)
    degraded, target = torch.rand(2, batch, channels, patch, patch, generator=generator)
    return degraded, target


def literal_loss(images: Sequence[Any], target: Any) -> Any:
    """The sum over stages of Char(x, t) + 0.05 Char(L(x), L(t)), stage by stage."""
    import torch
    from torch.nn import functional as F

    line = torch.tensor([[0.05, 0.25, 0.4, 0.25, 0.05]], device=target.device)
    kernel = torch.matmul(line.t(), line).unsqueeze(0).repeat(target.shape[1], 1, 1, 1)

    def blurred(image: Any) -> Any:
        padded = F.pad(image, (2, 2, 2, 2), mode="replicate")
        return F.conv2d(padded, kernel, groups=image.shape[1])

    def laplacian(image: Any) -> Any:
        filtered = blurred(image)
        even = torch.zeros_like(filtered)
        even[:, :, ::2, ::2] = filtered[:, :, ::2, ::2] * 4
        return image - blurred(even)

    def char(x: Any, t: Any) -> Any:
        difference = x - t
        return torch.mean(torch.sqrt(difference * difference + 1e-3 * 1e-3))

    character = sum(char(image, target) for image in images)
    edges = sum(char(laplacian(image), laplacian(target)) for image in images)
    return character + 0.05 * edges


def gradients(named: dict[str, Any], keys: Sequence[str]) -> Any:
    """All gradients in the order of ``keys`` as one array; parameters without one are left out."""
    import numpy as np

    found = [named[key].grad for key in keys if named[key].grad is not None]
    return np.concatenate([gradient.float().cpu().numpy().ravel() for gradient in found])


def literal_work(network: Any, batch: tuple[Any, Any], device: str) -> Work:
    """Steps of the literal network with torch's Adam."""
    import torch

    from benchmarks.literal_network import literal_network
    from dgunet.network.kernels import kernels
    from dgunet.network.official import official_keys, official_state

    keys = [theirs for theirs, _ in official_keys(network.config)]
    literal = literal_network(network.config, official_state(network)).to(device).train()
    optimizer = torch.optim.Adam(literal.parameters(), lr=LEARNING_RATE)

    def run() -> float:
        with kernels("fastest"):
            return step()

    def step() -> float:
        optimizer.zero_grad()
        degraded, target = (half.to(device) for half in batch)
        loss = literal_loss(literal(degraded), target)
        loss.backward()
        optimizer.step()
        return float(loss.item())

    def arrays(loss: float) -> dict[str, Any]:
        named = dict(literal.named_parameters(remove_duplicate=False))
        return {"loss": loss, "gradients": gradients(named, keys)}

    return Work(run, arrays)


class _SameBatch:
    """The batch of every step."""

    def __init__(self, tensors: tuple[Any, Any]) -> None:
        self.batch, self._tensors = len(tensors[0]), tensors

    def part(self, step: int, positions: Sequence[int], /) -> tuple[Any, Any]:
        """The whole batch."""
        return self._tensors


def _our_work(network: Any, tensors: tuple[Any, Any], settings: Any, runtime: Any) -> Work:
    """Steps of a training; the gradients of the first one are kept."""
    from dgunet.network.kernels import kernels
    from dgunet.network.official import official_keys
    from dgunet.training import World
    from dgunet.training.speed import recomputing
    from dgunet.training.step import TrainingSteps

    keys = [ours for _, ours in official_keys(network.config)]
    steps = TrainingSteps(network, _SameBatch(tensors), settings, runtime, world=World())
    first: list[Any] = []

    def run() -> float:
        with kernels(runtime.kernels), recomputing(network, settings.recompute):
            loss = steps().loss
        if not first:
            first.append(gradients(dict(network.named_parameters(remove_duplicate=False)), keys))
        return loss

    return Work(run, lambda loss: {"loss": loss, "gradients": first[0]})


def work(
    task: str, variant: str, patch: int, batch: int, way: str, device: str, **small: int
) -> Work:
    """Training steps; ``small`` are fields of the network's configuration."""
    import torch

    from dgunet.config import RuntimeSettings, TrainingSettings
    from dgunet.network import DGUNet
    from dgunet.training.fast import decide

    torch.manual_seed(0)
    network = DGUNet(preset(task, variant, **small)).to(device)
    tensors = _batch(network.config.channels, patch, batch)
    if way == BASELINE:
        return literal_work(network, tensors, device)
    settings = TrainingSettings(
        iterations=1_000_000,
        batch=batch,
        patch=patch,
        learning_rate=LEARNING_RATE,
        warmup=1,
        loss="charbonnier-edge",
        **(WAYS | GPU_WAYS)[way],  # type: ignore[arg-type]
    )
    runtime = RuntimeSettings(device=device, threads=torch.get_num_threads())
    facts: dict[str, float | str] = {}
    if settings.fast:
        settings, _ = decide(settings, runtime, network.config)
        facts["fast"] = ", ".join(settings.switches) or "plain"
    return _our_work(network, tensors, settings, runtime)._replace(facts=facts)


def pairs(device: str, *, quick: bool) -> list[Pair]:
    """Steps of batch 1 at 128 x 128; on a GPU also of batch 4 at 256 x 256."""
    cases = [("derain", "DGUNet", 128, 1)]
    if not quick:
        cases += [("derain", "DGUNet+", 128, 1), ("deblur", "DGUNet", 128, 1)]
    if device == "cuda":
        cases += [("derain", "DGUNet", 256, 4)]
    ways = WAYS | (GPU_WAYS if device == "cuda" else {})
    return [_pair(*case, way, device) for case in cases for way in ways]


def _pair(task: str, variant: str, patch: int, batch: int, way: str, device: str) -> Pair:
    arguments = {"task": task, "variant": variant, "patch": patch, "batch": batch, "device": device}
    sides = in_ways("benchmarks.training:work", arguments, BASELINE, way)
    flops = PASSES * batch * describe_network(preset(task, variant), (patch, patch)).flops
    case = f"{task} {variant}, {batch} x {patch}x{patch}"
    tolerance = None if device == "cuda" else TOLERANCE
    return Pair(case, *sides, flops=flops, seconds=expected(flops), tolerance=tolerance)
