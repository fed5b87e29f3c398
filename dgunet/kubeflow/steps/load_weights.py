"""Loads weights into a step: this project's or the authors', identified by their SHA-256."""

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
    """Copy or convert weights to ``out/network.safetensors``; returns their origin and digest.

    Args:
        address: http(s):// or s3:// address, or a path; files that do not end with
            ``.safetensors`` are the authors' checkpoints.
        sha256: of that file.
        task: derain, deblur, denoise or cs.
        out: the folder to write.

    Raises:
        ConfigError: for an invalid digest or an unknown task.
        DataError: for an address of another kind.
        CheckpointError: if the file cannot be read, or has another digest or task.
    """
    check_task(task)
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise ConfigError(
            f"weights_sha256 {sha256!r} is not a SHA-256.", "Give 64 digits: sha256sum FILE."
        )
    weights = out / "network.safetensors"
    with files.partial_folder(weights) as scratch:
        file = _local_copy(address, sha256, scratch)
        if address.endswith(".safetensors"):
            network, origin = load_network(file)
            with files.atomic_path(weights) as temporary:
                shutil.copyfile(file, temporary)
        else:
            network, origin = import_official(file, task=None if task == "derain" else task)
            save_network(network, weights, origin)
    if network.config.task != task:
        raise CheckpointError(
            f"{redact(address)} contains a network for {network.config.task}, not {task}.",
            f"Set task to {network.config.task}, or give other weights.",
        )
    facts = {"source": redact(address), "source_sha256": sha256, "variant": network.config.variant}
    return facts | {"checkpoint_sha256": files.sha256_file(weights)} | origin


def _local_copy(address: str, sha256: str, scratch: Path) -> Path:
    path = local_path(address)
    if path is None:
        file = scratch / "weights"
        try:
            Download(address, file, sha256, lambda here, total: None).run()
        except RemoteError as error:
            raise CheckpointError(
                f"{redact(address)} could not be downloaded: {error}.",
                "Check the address and the digest.",
            ) from error
        return file
    file = path
    if not file.is_file():
        raise CheckpointError(f"no weights at {file}.", "Check the path inside the container.")
    if (found := files.sha256_file(file)) != sha256:
        raise CheckpointError(
            f"{file} has the SHA-256 {found}, not {sha256}.", "Correct the path or the digest."
        )
    return file
