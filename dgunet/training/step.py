"""The steps of a training: gradients of a batch in parts, clipping, Adam, schedule and report."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from dgunet.config import RuntimeSettings, TrainingSettings
from dgunet.network.devices import pick_device
from dgunet.system.errors import DgunetError
from dgunet.training.batches import Batches
from dgunet.training.checkpoints import Snapshot
from dgunet.training.curve import StepReport
from dgunet.training.distributed import World
from dgunet.training.loss import stage_losses
from dgunet.training.speed import compiled, memory_format
from dgunet.training.training_state import TrainingState


class DivergedError(DgunetError):
    """The loss or a gradient is not finite; ``step`` is the index of that step."""

    def __init__(self, message: str, hint: str, step: int) -> None:
        super().__init__(message, hint)
        self.step = step


class TrainingSteps:
    """A network that makes one optimiser step at each call.

    It is moved to the device, in the memory layout of the settings, and put in training mode.

    Args:
        network: maps an input (B, C, H, W) to the list of its stage outputs.
        batches: the batch of each step.
        settings: the hyperparameters, without ``fast``.
        runtime: the device.
        world: the processes that share the work.
        earlier: the checkpoint to resume from; only that of the leading process is used.

    Raises:
        ConfigError: if there are more processes than samples in a batch.
        ValueError: if ``fast`` is not decided yet; see `dgunet.training.fast`.
    """

    def __init__(
        self,
        network: nn.Module,
        batches: Batches,
        settings: TrainingSettings,
        runtime: RuntimeSettings,
        *,
        world: World,
        earlier: Snapshot | None = None,
    ) -> None:
        if settings.fast:
            raise ValueError("fast is not decided: see dgunet.training.fast.decide")
        self.device = torch.device(pick_device(runtime.device))
        self._batches, self._settings, self._world = batches, settings, world
        self._positions = world.positions(batches.batch)
        self._layout = memory_format(settings)
        network.to(self.device, memory_format=self._layout).train()  # type: ignore[call-overload]
        # Adam's single operations take a square root that differs between kinds of CPU.
        self.state = TrainingState(network, settings, fused=runtime.kernels == "portable")
        if (snapshot := world.share(earlier)) is not None:
            self.state.restore(snapshot, world)
        self._model = world.wrap(network, self.device)
        self._run = compiled(self._model, settings)

    def __call__(self) -> StepReport:
        """Make the next step; return its report, which is the same in all processes.

        Raises:
            DivergedError: if the loss or a gradient is not finite in more steps than
                ``skip_budget`` allows.
        """
        started = time.perf_counter()
        state, settings = self.state, self._settings
        state.optimizer.zero_grad(set_to_none=True)
        losses = self._gradients()
        norm = _clip_gradient(state.network, settings.clip)
        report = StepReport(
            step=state.step,
            iterations=settings.iterations,
            loss=losses.sum().item(),
            stage_losses=tuple(losses.tolist()),
            learning_rate=state.rate,
            gradient_norm=norm.item(),
            seconds=0.0,
        )
        _check_divergence(report, state)
        return state.advance(report, started)

    def _gradients(self) -> Tensor:
        """Accumulate the gradient of the whole batch in the parameters; return the losses (K,).

        The mean over each part is weighted by the part's share of the batch. Gradients are averaged
        over the processes, so the loss is multiplied by their number.
        """
        positions, world = self._positions, self._world
        size = self._settings.micro_batch or len(positions)
        parts = [positions[i : i + size] for i in range(0, len(positions), size)]
        total: Tensor | None = None
        for number, part in enumerate(parts, start=1):
            share = len(part) / self._batches.batch
            # Gradients are averaged over the processes only in the last part of the step.
            last = number == len(parts)
            with nullcontext() if last else world.without_averaging(self._model):
                losses = self._losses(part)
                loss = losses.sum() * (share * world.size)
                loss.backward()  # type: ignore[no-untyped-call]
            part_losses = losses.detach() * share
            total = part_losses if total is None else total + part_losses
        assert total is not None
        return world.total(total)

    def _losses(self, part: Sequence[int]) -> Tensor:
        """The mean loss of each stage (K,) on the samples at the positions ``part``."""
        settings = self._settings
        degraded, target = (
            tensor.to(self.device, memory_format=self._layout)
            for tensor in self._batches.part(self.state.step, part)
        )
        with torch.autocast(self.device.type, torch.bfloat16, enabled=settings.bfloat16):
            outputs = self._run(degraded)
        return stage_losses([image.to(target.dtype) for image in outputs], target, settings.loss)


def _clip_gradient(network: nn.Module, largest: float) -> Tensor:
    """Scale the gradient down if its L2 norm exceeds ``largest``; return the norm before that.

    0 means no limit.
    """
    parameters = [p for p in network.parameters() if p.grad is not None]
    norm = get_total_norm(p.grad for p in parameters if p.grad is not None)
    if largest:
        clip_grads_with_norm_(parameters, largest, norm)
    return norm


def _check_divergence(report: StepReport, state: TrainingState) -> None:
    """Check that the number of non-finite steps does not exceed ``skip_budget``.

    The report is the same in all processes.

    Raises:
        DivergedError: if it does; the message names the step and the learning rate.
    """
    budget = state.settings.skip_budget
    if not report.skipped or state.skipped < budget:
        return
    finite = math.isfinite(report.loss)
    what, value = ("gradient's norm", report.gradient_norm) if finite else ("loss", report.loss)
    before = f" {budget} such steps were skipped before it." if budget else ""
    raise DivergedError(
        f"the {what} is {value} at step {report.step} (learning rate {report.learning_rate:.3g})."
        + before,
        "Lower the learning rate or lengthen the warm-up.",
        report.step,
    )
