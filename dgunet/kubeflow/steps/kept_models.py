"""Trained networks on the volume for stores, named by the SHA-256 of their weights.

Kubeflow's cache identifies an artifact by its number, which is new for every training. A step that
gets the digest alone, and is itself cached, gives equal weights the artifact that they had before;
an evaluation of them is then found in the cache. In the folder for stores (``DGUNET_STORES``) are:

models/SHA256/network.safetensors
models/SHA256/facts.json            metadata of the artifact, written by the first such training
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dgunet.system import environment, files
from dgunet.system.errors import CheckpointError, ConfigError
from dgunet.system.reading import read_mapping

MODELS, WEIGHTS, FACTS = "models", "network.safetensors", "facts.json"
AGAIN = "Submit again: the training then writes it."


def keep_model_files(weights: Path, facts: Mapping[str, Any]) -> str:
    """Copy ``weights`` to the folder for stores, if there is one; returns their SHA-256.

    Args:
        weights: of a finished training.
        facts: metadata of the model's artifact.

    Raises:
        DgunetError: if the disk is full or the folder not writable.
    """
    digest, folder = files.sha256_file(weights), environment.STORES.get()
    if folder is None or _is_whole(folder / MODELS / digest, digest):
        return digest
    with files.atomic_folder(folder / MODELS / digest) as made:
        shutil.copyfile(weights, made / WEIGHTS)
        files.write_json(made / FACTS, dict(facts))
    return digest


def copy_kept_model(digest: str, out: Path) -> dict[str, Any]:
    """Copy the weights with this digest from the folder for stores to ``out``.

    Args:
        digest: SHA-256 of the weights.
        out: the folder to write ``network.safetensors`` to.

    Returns:
        The facts that the training kept with them.

    Raises:
        ConfigError: for an invalid digest, or without a folder for stores.
        CheckpointError: if the folder lacks the weights, or they were changed.
    """
    folder = environment.STORES.get()
    if folder is None or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise ConfigError(
            f"no weights can be read for the SHA-256 {digest!r} in the folder for stores {folder}.",
            "Set stores: in the cluster file to a folder on one of its volumes (DGUNET_STORES).",
        )
    place = folder / MODELS / digest
    if not _is_whole(place, digest):
        raise CheckpointError(
            f"{place / WEIGHTS} was deleted or changed after its training.", AGAIN
        )
    with files.atomic_path(out / WEIGHTS) as temporary:
        shutil.copyfile(place / WEIGHTS, temporary)
    return read_mapping(place / FACTS, kind=CheckpointError)


def _is_whole(place: Path, digest: str) -> bool:
    found = place / WEIGHTS
    return (place / FACTS).is_file() and found.is_file() and files.sha256_file(found) == digest
