"""Training loop, which computes a trained network and its loss curve from batches.

`train` repeats, until all steps are done: a validation if one is due, otherwise one optimiser step
(`dgunet.training.step.TrainingSteps`), then a checkpoint if one is due or a signal asked to stop.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
from torch import nn

from dgunet.config import RuntimeSettings, TrainingSettings
from dgunet.network.devices import thread_count
from dgunet.training.batches import Batches
from dgunet.training.checkpoints import Checkpoints, Snapshot
from dgunet.training.curve import StepReport, TrainingResult
from dgunet.training.distributed import World
from dgunet.training.failures import explained_failures
from dgunet.training.speed import recomputing
from dgunet.training.step import TrainingSteps
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
        settings: the hyperparameters; ``fast`` is decided before, by `dgunet.training.fast`.
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
    steps = TrainingSteps(network, batches, settings, runtime, world=world, earlier=earlier)
    state = steps.state
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
                report = steps()
                if world.leads:
                    reporter.on_step(report)
            _checkpoint(state, checkpoints, world, stop, steps.device)
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
