"""Operations, duration and memory of a training, from its network and its settings.

Counted are the forward and backward passes of the optimiser steps. Not counted are the validation,
the optimiser and reading; the rate from the authors' log contains all three. On a GPU, a step on
few pixels takes as long as the processor needs to issue its calls; see `ISSUE`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from dgunet.config import TrainingSettings
from dgunet.costs.evaluation_cost import weight_bytes
from dgunet.costs.machines import BACKWARD, Machine
from dgunet.network import DGUNet, DGUNetConfig
from dgunet.network.devices import thread_count
from dgunet.network.size import count_operations

ISSUE = 10e-6
"""Seconds that torch takes to issue one call to a GPU, assumed. It decides the duration only where
the GPU has little to do in each call, as with the 32 x 32 blocks of compressive sensing."""


@dataclass(frozen=True)
class TrainingCost:
    """The cost of one training.

    Attributes:
        config: the network.
        settings: the training.
        operations: floating-point operations of all steps, forward and backward, as in
            `dgunet.network.describe`.
    """

    config: DGUNetConfig
    settings: TrainingSettings
    operations: int

    def seconds(self, machine: Machine, count: int = 1) -> float:
        """Return the duration on ``count`` machines that share each batch.

        The machine with the most samples decides; machines beyond the batch have nothing to do.
        """
        return max(self._computing(machine, count), self._issuing(machine, count))

    def bound_by_calls(self, machine: Machine, count: int = 1) -> bool:
        """Return whether issuing the calls takes longer than computing them; see `ISSUE`."""
        return self._issuing(machine, count) > self._computing(machine, count)

    def gpu_hours(self, machine: Machine, count: int = 1) -> float:
        """Return the hours of ``count`` machines, added up."""
        return self.seconds(machine, count) * count / 3600

    def samples_together(self, count: int = 1) -> int:
        """Return the samples that each of ``count`` GPUs holds in one forward pass."""
        share = self._share(count)
        return min(share, self.settings.micro_batch or share)

    def memory(self, count: int = 1) -> int | None:
        """Estimate the bytes that a training takes on each of ``count`` GPUs.

        Activations kept for the backward pass, counted on a small patch; weights, gradients and
        Adam's two moments in float32. Workspace of the convolutions is not included. Not estimated
        (None) under settings that keep other activations: recompute, bfloat16, compile, fast.
        """
        settings = self.settings
        if settings.recompute or settings.bfloat16 or settings.compile or settings.fast:
            return None
        pixels = self.samples_together(count) * self.settings.patch**2
        copies = 4 + int(self.settings.average > 0)
        return round(pixels * kept_bytes(self.config)) + copies * weight_bytes(self.config)

    def fits(self, machine: Machine, count: int = 1) -> bool | None:
        """Return whether the memory of ``count`` machines is enough; None if unknown."""
        needed = self.memory(count)
        return None if needed is None or machine.memory is None else needed <= machine.memory

    def _computing(self, machine: Machine, count: int) -> float:
        return machine.training_seconds(self.operations * self._share(count) / self.settings.batch)

    def _issuing(self, machine: Machine, count: int) -> float:
        if machine.is_cpu or self.settings.compile or "compile" in self.settings.left_to_fast:
            return 0.0
        passes = -(-self._share(count) // self.samples_together(count))
        calls = (1 + BACKWARD) * forward_calls(self.config) * passes
        return calls * self.settings.iterations * ISSUE

    def _share(self, count: int) -> int:
        return -(-self.settings.batch // count)


def training_cost(config: DGUNetConfig, settings: TrainingSettings) -> TrainingCost:
    """Count the training of the network ``config`` under ``settings``.

    Recomputing activations (``recompute``) costs one more forward pass.
    """
    passes = 1 + BACKWARD + int(settings.recompute)
    one = count_operations(config, settings.patch, settings.patch)
    return TrainingCost(config, settings, passes * one * settings.batch * settings.iterations)


@functools.cache
def kept_bytes(config: DGUNetConfig) -> float:
    """Return the bytes per pixel that a forward pass keeps for the backward pass.

    They are counted on a patch of 32 x 32 pixels; larger patches keep the same per pixel, up to the
    padding. The released deraining networks keep 41 to 42 kB.
    """
    side = max(32, config.multiple)
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.random.fork_rng(devices=[]):
        network = DGUNet(config).train()
        patch = torch.rand(1, config.channels, side, side)
    own = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    one_thread = thread_count(1)  # for so few pixels, starting threads takes longer than computing
    with one_thread, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        images = network(patch)
    held = sum(each.untyped_storage().nbytes() for key, each in kept.items() if key not in own)
    del images  # until here, so that no storage was freed and its address used again
    return held / side**2


@functools.cache
def forward_calls(config: DGUNetConfig) -> int:
    """Return the number of calls that a forward pass makes, for any size of image.

    Views, which compute nothing, are not counted. The number does not depend on the widths of the
    network, so that they are made small.
    """
    with torch.random.fork_rng(devices=[]):
        narrow = replace(config, n_feat=4, scale=2, last_width=4, gradient_width=4)
        network = DGUNet(narrow).eval()
        patch = torch.rand(1, config.channels, 2 * config.multiple, 2 * config.multiple)
    with thread_count(1), torch.inference_mode(), _Calls() as calls:
        network(patch)
    return int(calls.made)


class _Calls(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the calls that are not views."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.made = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch imports its compiler, which takes a second

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        self.made += int(not getattr(func, "is_view", False))
        return func(*args, **(kwargs or {}))
