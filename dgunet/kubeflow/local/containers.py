"""Settings of a local run's containers: image, mounts, user, and no network by default."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dgunet.kubeflow.pipeline.weights_origin import has_file, is_released
from dgunet.kubeflow.steps.data_source import is_folder
from dgunet.system.environment import HOME, IMAGE_DIGEST, SOURCES, STORES
from dgunet.system.errors import ConfigError, DgunetError

LABEL = "dgunet.pipeline"
STATE = "/state"
"""Mount point of the project's ``.dgunet`` in containers, for journals and checkpoints."""

DVC_SCRATCH = "dvc-scratch"

USER = 1000
"""ID of the image's user, for containers that root starts."""


def docker_engine() -> Any:
    """A client of the Docker engine.

    Raises:
        DgunetError: if no engine responds.
    """
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env()
        client.ping()
    except DockerException as error:
        raise DgunetError(
            f"no Docker engine responds ({' '.join(str(error).split())}).",
            "Start one, or set DOCKER_HOST; without --docker none is needed.",
        ) from error
    return client


def image_id(client: Any, image: str) -> str:
    """The digest of a local image; nothing is pulled.

    Raises:
        DgunetError: if the engine has no such image.
    """
    from docker.errors import DockerException, ImageNotFound

    try:
        return str(client.images.get(image).id)
    except ImageNotFound as error:
        raise DgunetError(
            f"the Docker engine has no image {image}.", "Build it: make image."
        ) from error
    except DockerException as error:
        raise DgunetError(f"{image}: {error}.") from error


def container_settings(
    home: Path,
    out: Path,
    arguments: Mapping[str, Any],
    *,
    run_id: str,
    digest: str,
    environment: Mapping[str, str],
    network: str = "none",
    gpus: bool = False,
) -> dict[str, Any]:
    """Arguments of kfp's DockerRunner, as JSON values.

    Args:
        home: the project; its ``.dgunet`` and the files named in ``arguments`` are mounted.
        out: the folder of artifacts, writable.
        arguments: of the run.
        run_id: id of the run, a label of its containers.
        digest: of the image; steps refuse any other.
        environment: further environment variables of the containers.
        network: ``none``, ``host`` or ``bridge``.
        gpus: give the containers all GPUs.

    Raises:
        ConfigError: if data or weights are on a network and the containers have none.
    """
    mounts = [(STATE + "/.dgunet", str(home / ".dgunet"), False)]
    if is_released(arguments) and network == "none":
        raise ConfigError(
            "weights is released, but the containers have no network to download them.",
            "Set --network bridge.",
        )
    if own := environment.get(SOURCES.name):
        mounts.append((own, own, True))
    stores = [Path(environment[STORES.name])] if environment.get(STORES.name) else []
    for folder in stores:
        folder.mkdir(parents=True, exist_ok=True)
        mounts.append((str(folder), str(folder), False))
    for name in ("data_source", "weights") if has_file(arguments) else ("data_source",):
        address = str(arguments.get(name, ""))
        path = Path(address.removeprefix("file://"))
        if path.exists() and address:
            mounts.append((str(path), str(path), True))
            if not is_folder(address) and (path / ".dvc").is_dir():
                mounts.append(_scratch(path, out))
        elif network == "none" and not is_folder(address):
            raise ConfigError(
                f"{name} is {address}, but the containers have no network.",
                "Give a folder or file on this machine, or set --network bridge.",
            )
    return {
        "mounts": mounts,
        "gpus": gpus,
        "network_mode": network,
        "hostname": "localhost",  # torchrun resolves its own host name
        "shm_size": "1g",
        "user": _user(home, out, stores),
        "labels": {LABEL: run_id},
        "environment": {
            "HOME": "/tmp",
            HOME.name: STATE,
            IMAGE_DIGEST.name: digest,
            **environment,
        },
    }


def _scratch(repository: Path, out: Path) -> tuple[str, str, bool]:
    """A writable mount for the files that DVC writes into a repository when reading it."""
    target = repository / ".dvc" / "tmp"
    target.mkdir(exist_ok=True)  # the mount point; DVC creates it anyway, and git ignores it
    own = out / DVC_SCRATCH
    own.mkdir(parents=True, exist_ok=True)
    return str(target), str(own), False


def _user(home: Path, out: Path, more: Sequence[Path]) -> str:
    """User and group of the containers: the caller's; for root, those of the image's user."""
    if os.getuid():
        return f"{os.getuid()}:{os.getgid()}"
    state = home / ".dgunet"
    own = (out, out / DVC_SCRATCH, state, state / "journal", state / "checkpoints")
    for folder in (*own, *more):
        folder.mkdir(parents=True, exist_ok=True)
        os.chown(folder, USER, USER)
    return f"{USER}:{USER}"


def remove_containers(client: Any, run_id: str) -> int:
    """Remove the containers of a run that still exist; returns their number."""
    found = client.containers.list(filters={"label": f"{LABEL}={run_id}"})
    for container in found:
        container.remove(force=True)
    return len(found)
