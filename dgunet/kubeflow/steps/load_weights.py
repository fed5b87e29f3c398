"""Weights from anywhere into a step: the authors' checkpoints or ours, known by their SHA-256."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from dgunet.data.acquisition.downloading import Download
from dgunet.data.acquisition.fetching import local_path
from dgunet.data.acquisition.remotes import RemoteError
from dgunet.network import load_network, save_network
from dgunet.network.official import import_official
from dgunet.system import files
from dgunet.system.address import redact
from dgunet.system.errors import CheckpointError, ConfigError
from dgunet.terms import check_task


def load_weights(address: str, sha256: str, task: str, out: Path) -> dict[str, str]:
    """Bring weights to ``out/network.safetensors``; returns what they are.

    Args:
        address: http(s)://, s3:// or a path; ``.safetensors`` are ours, others the authors'.
        sha256: of the file there, so that what is scored is known before it runs.
        task: derain, deblur, denoise or cs.
        out: the folder to write.

    Raises:
        ConfigError: for a digest that is none, or an unknown task.
        DataError: for an address of another kind, or none.
        CheckpointError: if the file cannot be brought, is another one, or is of another task.
    """
    check_task(task)
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise ConfigError(f"weights_sha256 {sha256!r}.", "Give its 64 digits: sha256sum FILE.")
    weights = out / "network.safetensors"
    with files.partial_folder(weights) as scratch:
        file = _bring(address, sha256, scratch)
        if address.endswith(".safetensors"):
            network, origin = load_network(file)
            with files.atomic_path(weights) as temporary:
                shutil.copyfile(file, temporary)
        else:
            network, origin = import_official(file, task=None if task == "derain" else task)
            save_network(network, weights, origin)
    if network.config.task != task:
        raise CheckpointError(
            f"{redact(address)} holds a network for {network.config.task}, not {task}.",
            "Name its task.",
        )
    told = {"source": redact(address), "source_sha256": sha256, "variant": network.config.variant}
    return told | {"checkpoint_sha256": files.sha256_file(weights)} | origin


def _bring(address: str, sha256: str, scratch: Path) -> Path:
    path = local_path(address)
    if path is None:
        file = scratch / "weights"
        try:
            Download(address, file, sha256, lambda here, total: None).run()
        except RemoteError as error:
            raise CheckpointError(
                f"{redact(address)} could not be fetched: {error}.", "Check address and digest."
            ) from error
        return file
    file = path
    if not file.is_file():
        raise CheckpointError(f"no weights at {file}.", "Check the path inside the container.")
    if (found := files.sha256_file(file)) != sha256:
        raise CheckpointError(
            f"{file} has the SHA-256 {found}, not {sha256}.", "Name the file or the digest anew."
        )
    return file
