"""One training run of a task's network, from its inputs to the files of the result.

The pipeline step builds `TrainingInputs` once. All functions take them, or the `PreparedTraining`
derived from them::

    prepare_training(inputs)                 `dgunet.training.preparation`: open the stores, hold
                                             out validation images, find a checkpoint
    run_training(prepared, reporter)         returns the path of the weights
        initial_network(inputs)              random weights, or those of ``start``
        training_batches(prepared)           the samples of every step
        reporter.started(...)
        _optimise(...)                       `dgunet.training.loop.train`, in all processes
            reporter.on_step(...), reporter.on_validation(...)
        _write_result(...)                   weights with provenance, curves, selection
        reporter.finished(...)

This module neither reads the environment nor uses MLflow; the step passes a `TrainingReporter`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from dgunet.data.batches.augment import augmentation
from dgunet.data.batches.training_batches import TrainingBatches
from dgunet.network import DGUNet, load_network, save_network
from dgunet.network.devices import pick_device
from dgunet.network.kernels import kernels
from dgunet.system import files
from dgunet.system.errors import CheckpointError
from dgunet.training.batches import Batches
from dgunet.training.curve import TrainingResult
from dgunet.training.distributed import World, joined_processes
from dgunet.training.loop import LoopReporter, train
from dgunet.training.mixup import MixUp
from dgunet.training.outcome import Selection, write_outcome
from dgunet.training.preparation import (
    PreparedTraining,
    TrainingInputs,
    settings_digest,
)
from dgunet.training.step import DivergedError
from dgunet.training.stopping import InterruptedTrainingError
from dgunet.training.validation import Validation

EXAMPLE_IMAGES = 2
"""Number of image pairs that a reporter may show during training."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingOutcome:
    """Files and result of a finished training run."""

    weights: Path
    checkpoint_sha256: str
    selection: Selection
    result: TrainingResult
    files: Sequence[Path]
    """All files written besides the weights, such as curves."""


class TrainingReporter(LoopReporter, Protocol):
    """Receives the progress of a training run; only the leading process reports progress."""

    def facts(self) -> Mapping[str, str]:
        """Return strings to store in each checkpoint, such as the id of the MLflow run."""

    def started(
        self,
        network: DGUNet,
        ids: Callable[[int], list[str]],
        images: Sequence[tuple[Tensor, Tensor]],
    ) -> None:
        """Called before the first step.

        Args:
            network: the network that will be trained.
            ids: returns the ids of the samples of a step.
            images: up to `EXAMPLE_IMAGES` pairs (input, target), each (C, H, W) in [0, 1].
        """

    def diverged(self, samples: Path) -> None:
        """Called when the loss is not finite; the file contains the step and its sample ids."""

    def finished(self, outcome: TrainingOutcome) -> None:
        """Called after all files have been written."""


def run_training(prepared: PreparedTraining, reporter: TrainingReporter) -> Path:
    """Train, write the result and return the path of the weights.

    The leading process writes ``network.safetensors`` and the files of `write_outcome`. With
    validation, the weights are those of the best one. The checkpoints are removed at the end.

    Raises:
        CheckpointError: if the initial weights belong to another network structure.
        DivergedError: if the loss is not finite; the hint names the file with the samples of the
            step.
        InterruptedTrainingError: after SIGTERM or Ctrl-C, once the checkpoint is on disk.
    """
    try:
        with kernels(prepared.inputs.runtime.kernels):
            return _train_and_write(prepared, reporter)
    finally:
        prepared.checkpoints.release()


def _train_and_write(prepared: PreparedTraining, reporter: TrainingReporter) -> Path:
    inputs = prepared.inputs
    model = initial_network(inputs)
    samples = training_batches(prepared)
    reporter.started(model, samples.ids, _example_images(prepared, samples))
    _log_resumption(prepared)
    prepared.checkpoints.facts = lambda: inputs.versions | dict(reporter.facts())
    with joined_processes(pick_device(inputs.runtime.device), inputs.process) as world:
        result = _optimise(prepared, model, samples, reporter, world)
    if world.leads:
        reporter.finished(_write_result(prepared, model, samples, result))
        prepared.checkpoints.clear()
    return inputs.weights


def initial_network(inputs: TrainingInputs) -> DGUNet:
    """Return the network before the first step, with random weights or those of ``start``.

    The seed determines the random weights. The ``proximal_domain`` of ``start`` (whole images or
    blocks) may differ, because it does not affect the weights.

    Raises:
        CheckpointError: if ``start`` has another structure or cannot be read.
    """
    torch.manual_seed(inputs.seed)
    model = DGUNet(inputs.network)
    if inputs.start is not None:
        given, _ = load_network(inputs.start)
        found, expected = (
            {**net.config.to_dict(), "proximal_domain": ""} for net in (given, model)
        )
        if differing := [name for name in expected if found[name] != expected[name]]:
            text = ", ".join(f"{n} {found[n]!r}, not {expected[n]!r}" for n in differing)
            raise CheckpointError(
                f"{inputs.start} has another structure: {text}.",
                "Start from weights of this network.",
            )
        model.load_state_dict(given.state_dict())
    return model


def training_batches(prepared: PreparedTraining) -> TrainingBatches:
    """Return the samples of every step."""
    inputs, settings = prepared.inputs, prepared.inputs.settings
    return TrainingBatches(
        prepared.pairs,
        patch=settings.patch,
        batch=settings.batch,
        seed=inputs.seed,
        augment=augmentation(settings.augment, inputs.network.task),
        records=prepared.records,
        crops=settings.crops,
    )


def _example_images(
    prepared: PreparedTraining, samples: TrainingBatches
) -> list[tuple[Tensor, Tensor]]:
    """Return validation images or, without validation, samples of the first step."""
    if not prepared.inputs.process.leads:
        return []
    if prepared.validation is not None:
        images = prepared.validation.images
        return [images[index] for index in range(min(EXAMPLE_IMAGES, len(images)))]
    first = samples.part(0, range(min(EXAMPLE_IMAGES, samples.batch)))
    return list(zip(*first, strict=True))


def _log_resumption(prepared: PreparedTraining) -> None:
    """Log the step to resume from and the versions that changed since the checkpoint."""
    if prepared.earlier is None:
        return
    inputs = prepared.inputs
    logger.info("%s: resuming from step %d", inputs.key, prepared.earlier["step"])
    for name, present in inputs.versions.items():
        if (earlier := prepared.earlier["facts"].get(name)) != present:
            logger.warning(
                "%s: %s was %s and is %s; from here on the numbers may differ in their last digits "
                "from those of an uninterrupted run",
                inputs.key,
                name,
                earlier,
                present,
            )


def _optimise(
    prepared: PreparedTraining,
    model: DGUNet,
    samples: TrainingBatches,
    reporter: TrainingReporter,
    world: World,
) -> TrainingResult:
    """Run the training loop; report the samples of a diverged step and where to resume."""
    inputs, checkpoints = prepared.inputs, prepared.checkpoints
    settings = world.share(inputs.settings)  # the leading process has decided ``fast``
    batches: Batches = samples
    if settings.mixup_after is not None:
        batches = MixUp(samples, after=settings.mixup_after, seed=inputs.seed)
    validation = None
    if prepared.validation is not None and settings.validation is not None:
        validation = Validation(prepared.validation.images, settings.validation.interval)
    try:
        return train(
            model,
            batches,
            settings,
            inputs.runtime,
            reporter=reporter,
            validation=validation,
            checkpoints=checkpoints,
            earlier=prepared.earlier,
            world=world,
        )
    except DivergedError as error:
        path = checkpoints.folder / "diverged.json"
        if world.leads:
            files.write_json(path, {"step": error.step, "samples": samples.ids(error.step)})
            reporter.diverged(path)
        raise DivergedError(
            error.message, f"{error.hint} {path} lists the samples of the step.", error.step
        ) from error
    except InterruptedTrainingError as stop:
        if world.leads:
            logger.info(
                "%s: %s; the same command resumes from %s", inputs.key, stop, checkpoints.folder
            )
        raise


def _write_result(
    prepared: PreparedTraining, model: DGUNet, samples: TrainingBatches, result: TrainingResult
) -> TrainingOutcome:
    """Write the weights with their provenance, the curves and the selection."""
    inputs = prepared.inputs
    digest = prepared.validation.digest if prepared.validation else ""
    selection = Selection.of(inputs.settings.validation, result, digest)
    weights = inputs.weights
    save_network(model, weights, _provenance(prepared) | selection.facts())
    written = write_outcome(result, selection, samples.ids, inputs.out)
    return TrainingOutcome(weights, files.sha256_file(weights), selection, result, written)


def _provenance(prepared: PreparedTraining) -> dict[str, str]:
    """Return metadata entries with the data and settings that the network was trained with."""
    inputs, manifest = prepared.inputs, prepared.pairs.manifest
    entries = {
        "profile": inputs.profile,
        "key": inputs.key,
        "train.data_digest": manifest.digest,
        "train.dataset": manifest.dataset,
        "train.config": settings_digest(inputs.settings, inputs.runtime, inputs.seed),
    }
    entries |= {"train.switches": on} if (on := ", ".join(inputs.settings.switches)) else {}
    return entries | ({"train.start": files.sha256_file(inputs.start)} if inputs.start else {})
