"""Inputs of a training run and the objects derived from them before the first step."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from dgunet import __version__
from dgunet.config import RuntimeSettings, TrainingSettings
from dgunet.data.batches.holdout import ValidationPairs, hold_out
from dgunet.data.batches.joined_store import JoinedStore, Store
from dgunet.data.store.pair_store import PairStore
from dgunet.network import DGUNetConfig
from dgunet.network.devices import pick_device
from dgunet.network.kernels import kernels
from dgunet.system import files
from dgunet.system.errors import DataError
from dgunet.training.checkpoint_mirror import CheckpointMirror
from dgunet.training.checkpoints import Checkpoints, Snapshot
from dgunet.training.distributed import LaunchedProcess
from dgunet.training.fast import PLAIN, decide

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingInputs:
    """Everything that a training run depends on, and the locations of its files."""

    profile: str
    key: str
    """Name of the network, for example derain-DGUNet."""
    settings: TrainingSettings
    runtime: RuntimeSettings
    seed: int
    network: DGUNetConfig
    store: Path
    """The prepared training set. Further training sets and a validation test set are next to it."""
    out: Path
    """Output folder."""
    start: Path | None
    """Initial weights, of a network with the same structure; None: random weights."""
    checkpoint_root: Path
    """Contains one folder for each training, named by its identity: network, settings and data."""
    mirror: str | None
    """Address of the checkpoint mirror, ``s3://BUCKET/PREFIX``; None: no mirror."""
    process: LaunchedProcess
    commit: str
    fast: str = ""
    """The switches that are on since ``fast`` was decided, or "plain"; empty without ``fast``."""

    @property
    def weights(self) -> Path:
        """Path of the trained weights."""
        return self.out / "network.safetensors"

    @property
    def versions(self) -> dict[str, str]:
        """Versions that, besides the inputs, may affect the last digits of the result."""
        return {
            "version": __version__,
            "torch": str(torch.__version__),
            "commit": self.commit,
            "processes": str(self.process.size),
        }


@dataclass(frozen=True)
class ValidationData:
    """Validation images and the digest of the data they come from."""

    images: ValidationPairs
    digest: str


@dataclass(frozen=True)
class PreparedTraining:
    """A training run with open data, ready to start."""

    inputs: TrainingInputs
    pairs: Store
    records: Sequence[int] | None
    """Indices of the records to train on; None: all."""
    validation: ValidationData | None
    checkpoints: Checkpoints
    """Of this training run, whose identity they hold."""
    earlier: Snapshot | None
    """The checkpoint to resume from; only the leading process has one."""


def prepare_training(inputs: TrainingInputs) -> PreparedTraining:
    """Open the data, hold out validation pairs and find a checkpoint to resume from.

    Raises:
        DataError: if a store is missing, damaged, of another task, or too small to hold out pairs.
        CheckpointError: if another process is at this training, or the mirror cannot be read.
        ConfigError: if the mirror's address is invalid.
    """
    stores = [inputs.store, *(inputs.store.parent / name for name in inputs.settings.beside)]
    pairs = JoinedStore.open(stores)
    records, validation = _split(inputs, pairs)
    checkpoints = _checkpoints(inputs, _identity(inputs, pairs, validation))
    earlier = None
    if inputs.process.leads:
        checkpoints.acquire()
        try:
            earlier = _newest(inputs, checkpoints)
            inputs = _with_fast_decided(inputs, earlier)
        except BaseException:
            checkpoints.release()
            raise
        checkpoints.identity |= _trained_with(inputs.settings)
    return PreparedTraining(inputs, pairs, records, validation, checkpoints, earlier)


def _newest(inputs: TrainingInputs, checkpoints: Checkpoints) -> Snapshot | None:
    """Return the newest checkpoint of this training; without one, log those of other settings."""
    open_entries = [f"train.{name}" for name in inputs.settings.left_to_fast]
    with kernels(inputs.runtime.kernels):  # reading weights computes, after which no cap works
        earlier = checkpoints.newest(open_entries)
    if earlier is None:
        _tell_of_others(inputs, checkpoints.folder)
    return earlier


def _with_fast_decided(inputs: TrainingInputs, earlier: Snapshot | None) -> TrainingInputs:
    """Decide ``fast``: as in the checkpoint if there is one, else for this machine."""
    if not inputs.settings.fast:
        return inputs
    kept = earlier["identity"] if earlier is not None else None
    settings, reason = decide(inputs.settings, inputs.runtime, inputs.network, kept)
    on = ", ".join(settings.switches) or PLAIN
    logger.info("%s: fast is %s: %s", inputs.key, on, reason)
    return replace(inputs, settings=settings, fast=on)


def _checkpoints(inputs: TrainingInputs, identity: dict[str, str]) -> Checkpoints:
    """Return the checkpoints of the training run, in a folder that its identity names.

    The name does not depend on the output folder, which Kubeflow Pipelines chooses anew for every
    execution, and not on what ``fast`` decides, so that another machine finds it in the mirror.
    """
    wanted = identity | ({"train.fast": "True"} if inputs.settings.fast else {})
    name = f"{inputs.key}-{files.sha256_json(wanted)[:12]}"
    return Checkpoints(
        inputs.checkpoint_root / name,
        identity,
        seconds=inputs.runtime.checkpoint_seconds,
        mirror=CheckpointMirror(inputs.mirror, name) if inputs.mirror else None,
    )


def _tell_of_others(inputs: TrainingInputs, folder: Path) -> None:
    """Log the unfinished trainings of the same network with other settings or data."""
    pattern = re.compile(re.escape(inputs.key) + "-[0-9a-f]{12}")
    others = [
        each
        for each in sorted(inputs.checkpoint_root.glob("*"))
        if each != folder and pattern.fullmatch(each.name) and any(each.glob("step-*.ckpt"))
    ]
    if others:
        logger.info(
            "%s: starting from step 0; checkpoints of other settings or other data are kept in %s."
            " Restore those settings to resume one, or remove its folder",
            inputs.key,
            ", ".join(map(str, others)),
        )


def settings_digest(settings: TrainingSettings, runtime: RuntimeSettings, seed: int) -> str:
    """Return the SHA-256 of the settings, for the entry ``train.config`` of the network's metadata.

    Network files are outputs of the DVC pipeline, so the same settings must keep their digest.
    ``fast`` is decided and left out: the switches say what was trained.
    """
    machine = {"seed": seed, "device": runtime.device, "threads": runtime.threads}
    machine |= _other_kernels(runtime)
    return files.sha256_json(settings.model_dump(exclude={"fast"}) | machine)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings to one mapping whose keys are joined by dots."""
    joined: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        joined |= flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return joined


def _split(
    inputs: TrainingInputs, pairs: Store
) -> tuple[Sequence[int] | None, ValidationData | None]:
    """Return the records to train on (None: all) and the validation images."""
    if (validation := inputs.settings.validation) is None:
        return None, None
    if validation.test_set is None:
        records, held_out = hold_out(pairs, validation.fraction, inputs.seed)
        images = ValidationPairs(pairs, held_out, validation.crop)
        return records, ValidationData(images, pairs.manifest.digest)
    other = PairStore.open(inputs.store.parent / validation.test_set)
    if other.manifest.task != pairs.manifest.task:
        raise DataError(
            f"{other.folder} is for {other.manifest.task}, the training set "
            f"{inputs.store} for {pairs.manifest.task}.",
            "Set validation.test_set to a test set of the same task.",
        )
    images = ValidationPairs(other, range(len(other)), validation.crop)
    return None, ValidationData(images, other.manifest.digest)


def _identity(
    inputs: TrainingInputs, pairs: Store, validation: ValidationData | None
) -> dict[str, str]:
    """Return settings and data as strings by name; a checkpoint must agree in all of them."""
    identity = {
        "network": inputs.network.to_dict(),
        "seed": inputs.seed,
        "threads": inputs.runtime.threads,
        "device": pick_device(inputs.runtime.device),
        "data": {
            "set": pairs.manifest.dataset,
            "digest": pairs.manifest.digest,
            "validation": validation.digest if validation else "",
        },
        "start": files.sha256_file(inputs.start) if inputs.start else "",
    } | _other_kernels(inputs.runtime)
    named = {name: str(value) for name, value in flat(identity).items()}
    return _trained_with(inputs.settings) | named


def _trained_with(settings: TrainingSettings) -> dict[str, str]:
    """The part of the identity that the settings are; ``fast`` is in what it has decided."""
    values = {"train": settings.model_dump(exclude={"fast"})}
    return {name: str(value) for name, value in flat(values).items()}


def _other_kernels(runtime: RuntimeSettings) -> dict[str, Any]:
    """The kernels unless they are the default, with which earlier trainings keep their identity."""
    return {} if runtime.kernels == "fastest" else {"kernels": runtime.kernels}
