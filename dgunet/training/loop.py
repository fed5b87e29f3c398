"""Training loop, which computes a trained network and its loss curve from batches.

`train` repeats, until all steps are done: a validation if one is due, otherwise one optimiser step
(`_step`: `_gradients` in micro-batches, gradient clipping, `TrainingState.advance`), then a
checkpoint if one is due or a signal asked to stop.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from dgunet.config import RuntimeSettings, TrainingSettings
from dgunet.network.devices import pick_device, thread_count
from dgunet.system.errors import DgunetError
from dgunet.training.batches import Batches
from dgunet.training.checkpoints import Checkpoints, Snapshot
from dgunet.training.curve import StepReport, TrainingResult
from dgunet.training.distributed import World
from dgunet.training.failures import explained_failures
from dgunet.training.loss import stage_losses
from dgunet.training.speed import Model, compiled, memory_format, recomputing
from dgunet.training.stopping import (
    InterruptedTrainingError,
    StopRequest,
    intercepted_signals,
)
from dgunet.training.training_state import TrainingState, generators
from dgunet.training.validation import Validation, ValidationReport, mean_psnr

CHECKPOINT_DUE = 1
"""Number by which processes request a checkpoint. The larger numbers of SIGINT (2) and SIGTERM (15)
also request the end of the training run."""


class DivergedError(DgunetError):
    """The loss or a gradient is not finite; ``step`` is the index of that step."""

    def __init__(self, message: str, hint: str, step: int) -> None:
        super().__init__(message, hint)
        self.step = step


class LoopReporter(Protocol):
    """Receives the progress of `train` in the leading process."""

    def on_step(self, report: StepReport, /) -> None:
        """Called after every step."""

    def on_validation(self, report: ValidationReport, /) -> None:
        """Called after every validation."""


class SilentReporter:
    """Reports nothing."""

    def on_step(self, report: StepReport, /) -> None:
        """Do nothing."""

    def on_validation(self, report: ValidationReport, /) -> None:
        """Do nothing."""


def train(
    network: nn.Module,
    batches: Batches,
    settings: TrainingSettings,
    runtime: RuntimeSettings,
    *,
    reporter: LoopReporter | None = None,
    validation: Validation | None = None,
    checkpoints: Checkpoints | None = None,
    earlier: Snapshot | None = None,
    world: World | None = None,
) -> TrainingResult:
    """Minimise the loss over all stages with Adam; leave the trained weights in ``network``.

    With ``validation``, these are the weights with the highest PSNR; of equal ones, the first.

    With ``checkpoints``, SIGTERM and Ctrl-C end the run with a checkpoint, after the current step
    or the current image of a validation; the resumed run repeats that validation. A run resumed
    from ``earlier`` computes the same weights and the same curve: bit for bit on a CPU with the
    same number of threads and processes.

    Args:
        network: maps an input (B, C, H, W) to the list of its stage outputs.
        batches: the batch of each step, of ``settings.batch`` samples.
        settings: the hyperparameters.
        runtime: device and threads.
        reporter: receives steps and validations, in the leading process only.
        validation: images and interval of the validations.
        checkpoints: writes the checkpoints; None: no checkpoints.
        earlier: the checkpoint to resume from; only that of the leading process is used.
        world: the processes that share the work; see `joined_processes`.

    Raises:
        DivergedError: if the loss or a gradient is infinite or NaN in more steps than
            ``skip_budget`` allows; the message names the step and the learning rate.
        InterruptedTrainingError: after a signal, once the checkpoint is on disk.
        ConfigError: if there are more processes than samples in a batch.
        DgunetError: if a checkpoint cannot be written, the GPU's memory is full, or another
            process ended.
    """
    reporter = reporter or SilentReporter()
    world = world or World()
    positions = world.positions(batches.batch)
    device = torch.device(pick_device(runtime.device))
    network.to(device, memory_format=memory_format(settings)).train()  # type: ignore[call-overload]
    # Adam's single operations take a square root that differs between kinds of CPU.
    state = TrainingState(network, settings, fused=runtime.kernels == "portable")
    if (snapshot := world.share(earlier)) is not None:
        state.restore(snapshot, world)
    model = world.wrap(network, device)
    run = compiled(model, settings)
    with (
        thread_count(runtime.threads),
        recomputing(network, settings.recompute),
        explained_failures(state, settings, batches.batch, world),
        _stop_request(checkpoints) as stop,
    ):
        while (due := state.validation_due(validation)) or state.step < settings.iterations:
            if validation and due:
                _validate(state, validation, reporter, world, stop)
            else:
                report = _step(state, model, run, batches, positions, world)
                if world.leads:
                    reporter.on_step(report)
            _checkpoint(state, checkpoints, world, stop, device)
        if checkpoints:
            checkpoints.wait()
    return state.finish()


def _validate(
    state: TrainingState,
    validation: Validation,
    reporter: LoopReporter,
    world: World,
    stop: StopRequest,
) -> None:
    psnr = mean_psnr(state.candidate, validation.images, world, stop)
    if psnr is not None:
        report = state.validated(psnr)
        if world.leads:
            reporter.on_validation(report)


def _checkpoint(
    state: TrainingState,
    checkpoints: Checkpoints | None,
    world: World,
    stop: StopRequest,
    device: torch.device,
) -> None:
    """Write a checkpoint if a process requests one; stop after a signal.

    Raises:
        InterruptedTrainingError: after a signal, once the checkpoint is on disk.
    """
    due = CHECKPOINT_DUE if checkpoints and world.leads and checkpoints.due() else 0
    request = world.largest(stop.number or due, device)
    if request and checkpoints:
        states = world.gather(generators())
        if world.leads:
            checkpoints.save(state.snapshot(states))
    if request > CHECKPOINT_DUE:
        if checkpoints:
            checkpoints.wait_for_mirror()
        raise InterruptedTrainingError(request, state.step)


def _stop_request(checkpoints: Checkpoints | None) -> AbstractContextManager[StopRequest]:
    return intercepted_signals() if checkpoints else nullcontext(StopRequest())


def _step(
    state: TrainingState,
    model: nn.Module,
    run: Model,
    batches: Batches,
    positions: Sequence[int],
    world: World,
) -> StepReport:
    """Run the next step and return its report, which is the same in all processes."""
    started = time.perf_counter()
    settings = state.settings
    state.optimizer.zero_grad(set_to_none=True)
    losses = _gradients(model, run, batches, state.step, positions, settings, world)
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


def _gradients(
    model: nn.Module,
    run: Model,
    batches: Batches,
    step: int,
    positions: Sequence[int],
    settings: TrainingSettings,
    world: World,
) -> Tensor:
    """Accumulate the gradient of the whole batch in the parameters; return its stage losses (K,).

    ``run`` is ``model``, possibly compiled. The mean over each part is weighted by the part's share
    of the batch. Gradients are averaged over the processes, so the loss is multiplied by their
    number.
    """
    device = next(model.parameters()).device
    size = settings.micro_batch or len(positions)
    parts = [positions[i : i + size] for i in range(0, len(positions), size)]
    total: Tensor | None = None
    for number, part in enumerate(parts, start=1):
        degraded, target = (
            tensor.to(device, memory_format=memory_format(settings))
            for tensor in batches.part(step, part)
        )
        share = len(part) / batches.batch
        # Gradients are averaged over the processes only in the last part of the step.
        with world.without_averaging(model) if number < len(parts) else nullcontext():
            with torch.autocast(device.type, torch.bfloat16, enabled=settings.bfloat16):
                outputs = run(degraded)
            losses = stage_losses(
                [image.to(target.dtype) for image in outputs], target, settings.loss
            )
            loss = losses.sum() * (share * world.size)
            loss.backward()  # type: ignore[no-untyped-call]
        part_losses = losses.detach() * share
        total = part_losses if total is None else total + part_losses
    assert total is not None
    return world.total(total)


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
