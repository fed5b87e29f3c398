"""One training run: batches in, a trained network and its loss curve out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from dgunet.network.devices import pick_device, thread_count
from dgunet.system.errors import DgunetError
from dgunet.training.checkpoints import Checkpoints, Snapshot
from dgunet.training.curve import StepReport, TrainingResult
from dgunet.training.distributed import World
from dgunet.training.failures import explained
from dgunet.training.loss import stage_losses
from dgunet.training.settings import TrainingConfig
from dgunet.training.speed import Model, compiled, memory_format, recomputing
from dgunet.training.stopping import InterruptedTrainingError, Stop, stopping
from dgunet.training.training_state import TrainingState, generators
from dgunet.training.validation import Validation, ValidationReport, mean_psnr


class Batches(Protocol):
    """The batches of a run; any part of any step can be asked for, in any order."""

    @property
    def batch(self) -> int:
        """Samples a step, over all processes."""

    def part(self, step: int, places: Sequence[int]) -> tuple[Tensor, Tensor]:
        """(input, target) of the samples at ``places``, each (B, C, H, W) float32 in [0, 1]."""


DUE = 1
"""Below the numbers of the signals that stop: a checkpoint is old enough for another."""


class DivergedError(DgunetError):
    """The loss or a gradient is no longer a finite number; ``step`` says where."""

    def __init__(self, message: str, hint: str, step: int) -> None:
        super().__init__(message, hint)
        self.step = step


def train(
    network: nn.Module,
    batches: Batches,
    config: TrainingConfig,
    *,
    observe: Callable[[StepReport], None] = lambda report: None,
    validation: Validation | None = None,
    on_validation: Callable[[ValidationReport], None] = lambda report: None,
    checkpoints: Checkpoints | None = None,
    earlier: Snapshot | None = None,
    world: World | None = None,
) -> TrainingResult:
    """Minimise the loss over all stages with Adam; leaves the trained weights in ``network``.

    With ``validation``, these are the weights of the highest PSNR there, the first of equals.

    With ``checkpoints``, SIGTERM and Ctrl-C end the run with a checkpoint, after the current step
    or the current picture of a validation, which is then made when the run goes on. A run taken up
    again from ``earlier`` makes the same weights and the same curve, bit for bit on a CPU with the
    same number of threads and processes.

    Args:
        network: maps an input (B, C, H, W) to the list of its stage outputs.
        batches: the batch of each step.
        config: the hyper-parameters.
        observe: called after every step; in the leading process only.
        validation: what to validate on, and how often.
        on_validation: called after every validation; in the leading process only.
        checkpoints: where to write them; none are written without it.
        earlier: the checkpoint to go on from; that of the leading process counts.
        world: the processes that share the work; see `dgunet.training.distributed.world`.

    Raises:
        DivergedError: if the loss or a gradient becomes infinite or NaN more often than
            ``skip_budget`` allows, naming step and rate.
        InterruptedTrainingError: after a signal, when the checkpoint is on the disk.
        ConfigError: if there are more processes than samples in a batch.
        DgunetError: if a checkpoint cannot be written, the GPU's memory is full, or another
            process died.
    """
    world = world or World()
    places = world.places(batches.batch)
    device = torch.device(pick_device(config.device))
    network.to(device, memory_format=memory_format(config)).train()  # type: ignore[call-overload]
    state = TrainingState(network, config)
    if (snapshot := world.share(earlier)) is not None:
        state.restore(snapshot, world)
    model = world.wrap(network, device)
    run = compiled(model, config)
    with (
        thread_count(config.threads),
        recomputing(network, config.recompute),
        explained(state, config, batches.batch, world),
        _stopping(checkpoints) as stop,
    ):
        while (unjudged := state.unjudged(validation)) or state.step < config.iterations:
            if validation and unjudged:
                psnr = mean_psnr(state.candidate, validation.pictures, world, stop)
                if psnr is not None:
                    judged = state.validated(psnr)
                    if world.leads:
                        on_validation(judged)
            else:
                report = _step(state, model, run, batches, places, world)
                if world.leads:
                    observe(report)
            wish = world.largest(stop.number or _due(checkpoints, world), device)
            if wish and checkpoints:
                drawn = world.gather(generators())
                if world.leads:
                    checkpoints.save(state.snapshot(drawn))
            if wish > DUE:
                if checkpoints:
                    checkpoints.leave()
                raise InterruptedTrainingError(wish, state.step)
        if checkpoints:
            checkpoints.wait()
    return state.finish()


def _stopping(checkpoints: Checkpoints | None) -> AbstractContextManager[Stop]:
    return stopping() if checkpoints else nullcontext(Stop())


def _due(checkpoints: Checkpoints | None, world: World) -> int:
    return DUE if checkpoints and world.leads and checkpoints.due() else 0


def _step(
    state: TrainingState,
    model: nn.Module,
    run: Model,
    batches: Batches,
    places: Sequence[int],
    world: World,
) -> StepReport:
    """Make the next step, and tell of it; all processes have the same report."""
    started = time.perf_counter()
    config = state.config
    state.optimizer.zero_grad(set_to_none=True)
    losses = _gradients(model, run, batches, state.step, places, config, world)
    norm = _norm_clipped(state.network, config.clip)
    report = StepReport(
        step=state.step,
        iterations=config.iterations,
        loss=losses.sum().item(),
        stage_losses=tuple(losses.tolist()),
        learning_rate=state.rate,
        gradient_norm=norm.item(),
        seconds=0.0,
    )
    _refuse_divergence(report, state)
    return state.advance(report, started)


def _gradients(
    model: nn.Module,
    run: Model,
    batches: Batches,
    step: int,
    places: Sequence[int],
    config: TrainingConfig,
    world: World,
) -> Tensor:
    """Leave the gradient of the whole batch in the parameters; gives its stage losses (K,).

    ``run`` is how ``model`` is called. Every mean over a part is weighed by the part's share of the
    batch. Processes' gradients are averaged, so each multiplies by their number.
    """
    device = next(model.parameters()).device
    size = config.micro_batch or len(places)
    parts = [places[i : i + size] for i in range(0, len(places), size)]
    total: Tensor | None = None
    for number, part in enumerate(parts, start=1):
        degraded, target = (
            tensor.to(device, memory_format=memory_format(config))
            for tensor in batches.part(step, part)
        )
        share = len(part) / batches.batch
        # Averaging over processes waits for the step's last part.
        with world.quiet(model) if number < len(parts) else nullcontext():
            with torch.autocast(device.type, torch.bfloat16, enabled=config.bfloat16):
                outputs = run(degraded)
            losses = stage_losses(
                [image.to(target.dtype) for image in outputs], target, config.loss
            )
            loss = losses.sum() * (share * world.size)
            loss.backward()  # type: ignore[no-untyped-call]
        part_losses = losses.detach() * share
        total = part_losses if total is None else total + part_losses
    assert total is not None
    return world.total(total)


def _norm_clipped(network: nn.Module, largest: float) -> Tensor:
    """The norm of the whole gradient, which is then scaled down to ``largest`` if that is set."""
    parameters = [p for p in network.parameters() if p.grad is not None]
    norm = get_total_norm(p.grad for p in parameters if p.grad is not None)
    if largest:
        clip_grads_with_norm_(parameters, largest, norm)
    return norm


def _refuse_divergence(report: StepReport, state: TrainingState) -> None:
    """All processes have the same report, so they decide alike."""
    budget = state.config.skip_budget
    if not report.skipped or state.skipped < budget:
        return
    finite = math.isfinite(report.loss)
    what, value = ("gradient's norm", report.gradient_norm) if finite else ("loss", report.loss)
    before = f" {budget} such steps were left out before it." if budget else ""
    raise DivergedError(
        f"the {what} is {value} at step {report.step} (learning rate {report.learning_rate:.3g})."
        + before,
        "Lower the learning rate or lengthen the warm-up.",
        report.step,
    )
