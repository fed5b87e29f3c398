"""The inputs of a training and what is derived from them before the first step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
from dgunet.system import files
from dgunet.system.errors import DataError
from dgunet.training.checkpoint_mirror import CheckpointMirror
from dgunet.training.checkpoints import Checkpoints, Snapshot
from dgunet.training.distributed import LaunchedProcess


@dataclass(frozen=True)
class TrainingInputs:
    """Everything that a training depends on, and where its files are."""

    profile: str
    key: str
    """Name of the network, for example derain-DGUNet."""
    settings: TrainingSettings
    runtime: RuntimeSettings
    seed: int
    network: DGUNetConfig
    store: Path
    """A prepared training set. The sets of ``beside`` and a validation test set are next to it."""
    out: Path
    """Folder of the result."""
    start: Path | None
    """Weights to begin with, of a network of the same structure; None: random ones."""
    checkpoint_root: Path
    """Each training has its own folder in it, outside ``out``, which DVC empties before a stage."""
    mirror: str | None
    """Address of the checkpoint mirror, ``s3://BUCKET/PREFIX``; None: no mirror."""
    process: LaunchedProcess
    commit: str

    @property
    def weights(self) -> Path:
        """The file of the trained weights."""
        return self.out / "network.safetensors"

    @property
    def versions(self) -> dict[str, str]:
        """What the last digits of a training may depend on besides the inputs."""
        return {
            "version": __version__,
            "torch": str(torch.__version__),
            "commit": self.commit,
            "processes": str(self.process.size),
        }


@dataclass(frozen=True)
class ValidationData:
    """Images of the validation and the digest of the data they come from."""

    images: ValidationPairs
    digest: str


@dataclass(frozen=True)
class PreparedTraining:
    """A training whose data is open, ready to run."""

    inputs: TrainingInputs
    pairs: Store
    records: Sequence[int] | None
    """Indices of the records to train on; None: all."""
    validation: ValidationData | None
    identity: dict[str, str]
    earlier: Snapshot | None
    """The checkpoint to resume from, in the leading process."""


def prepare_training(inputs: TrainingInputs) -> PreparedTraining:
    """Open the data, hold out the validation's part and find a checkpoint to resume from.

    Raises:
        DataError: if a store is missing, damaged, of another task, or too small to hold out a part.
        CheckpointError: if the checkpoints belong to other settings or other data.
        ConfigError: if the mirror's address is invalid.
    """
    stores = [inputs.store, *(inputs.store.parent / name for name in inputs.settings.beside)]
    pairs = JoinedStore.open(stores)
    records, validation = _split(inputs, pairs)
    identity = _identity(inputs, pairs, validation)
    checkpoints = training_checkpoints(inputs, identity)
    earlier = checkpoints.newest() if inputs.process.leads else None
    return PreparedTraining(inputs, pairs, records, validation, identity, earlier)


def training_checkpoints(
    inputs: TrainingInputs,
    identity: dict[str, str],
    facts: Callable[[], Mapping[str, str]] = dict,
) -> Checkpoints:
    """The checkpoints of the training; each ``key`` and ``out`` has its own folder.

    The mirror's name follows from the identity only, so that another machine finds it.
    """
    suffix = files.sha256_bytes(str(inputs.out.resolve()).encode())[:8]
    mirror = None
    if inputs.mirror:
        name = f"{inputs.key}-{files.sha256_json(identity)[:12]}"
        mirror = CheckpointMirror(inputs.mirror, name)
    return Checkpoints(
        inputs.checkpoint_root / f"{inputs.key}-{suffix}",
        identity,
        seconds=inputs.runtime.checkpoint_seconds,
        facts=facts,
        mirror=mirror,
    )


def settings_digest(settings: TrainingSettings, runtime: RuntimeSettings, seed: int) -> str:
    """SHA-256 of the settings, the entry ``train.config`` of the network's metadata.

    Network files are outputs of the DVC pipeline, so the same settings must keep their digest.
    """
    machine = {"seed": seed, "device": runtime.device, "threads": runtime.threads}
    return files.sha256_json(settings.model_dump() | machine)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one mapping, with the keys joined by dots."""
    joined: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        joined |= flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return joined


def _split(
    inputs: TrainingInputs, pairs: Store
) -> tuple[Sequence[int] | None, ValidationData | None]:
    """The records to train on (None: all) and the validation images."""
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
            "Name a test set of the same task in validation.test_set.",
        )
    images = ValidationPairs(other, range(len(other)), validation.crop)
    return None, ValidationData(images, other.manifest.digest)


def _identity(
    inputs: TrainingInputs, pairs: Store, validation: ValidationData | None
) -> dict[str, str]:
    """Settings and data as texts by name; a checkpoint must agree in each of them."""
    identity = {
        "train": inputs.settings.model_dump(),
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
    }
    return {name: str(value) for name, value in flat(identity).items()}
