"""How the containers of a local run are made: image, mounts, user, and no network by default."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dgunet.kubeflow.steps.code_pins import IMAGE
from dgunet.kubeflow.steps.data_source import is_folder
from dgunet.system.errors import ConfigError, DgunetError

LABEL = "dgunet.pipeline"
STATE = "/state"
"""Where a container sees the project's ``.dgunet``: journals and checkpoints outlive it."""

DVC_SCRATCH = "dvc-scratch"

USER = 1000
"""The image's own user, for a root who starts containers."""


def engine() -> Any:
    """A client of the Docker engine.

    Raises:
        DgunetError: if there is none.
    """
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env()
        client.ping()
    except DockerException as error:
        raise DgunetError(
            f"no Docker engine answers ({' '.join(str(error).split())}).",
            "Start one, or set DOCKER_HOST; without --docker no engine is needed.",
        ) from error
    return client


def image_id(client: Any, image: str) -> str:
    """The digest of an image that the engine has.

    Raises:
        DgunetError: if it has no such image; nothing is pulled.
    """
    from docker.errors import DockerException, ImageNotFound

    try:
        return str(client.images.get(image).id)
    except ImageNotFound as error:
        raise DgunetError(f"the engine has no image {image}.", "make image") from error
    except DockerException as error:
        raise DgunetError(f"{image}: {error}.") from error


def settings(
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
    """Arguments of kfp's DockerRunner, as JSON takes them.

    Args:
        home: the project; steps see its ``.dgunet`` and what ``arguments`` name, nothing else.
        out: the folder of artifacts, writable.
        arguments: of the run.
        digest: of the image; steps refuse another.
        environment: further variables of the containers.
        network: ``none``, ``host`` or ``bridge``.
        gpus: hand all GPUs on.

    Raises:
        ConfigError: if the data or the weights lie in a network that the containers do not have.
    """
    mounts = [(STATE + "/.dgunet", str(home / ".dgunet"), False)]
    for name in ("data_source", "weights"):
        address = str(arguments.get(name, ""))
        path = Path(address.removeprefix("file://"))
        if path.exists() and address:
            mounts.append((str(path), str(path), True))
            if not is_folder(address) and (path / ".dvc").is_dir():
                mounts.append(_scratch(path, out))
        elif network == "none" and not is_folder(address):
            raise ConfigError(
                f"{name} is {address}, and the containers have no network.",
                "Name a folder or file of this machine, or give --network bridge.",
            )
    return {
        "mounts": mounts,
        "gpus": gpus,
        "network_mode": network,
        "hostname": "localhost",  # torchrun looks its own name up
        "shm_size": "1g",
        "user": _user(home, out),
        "labels": {LABEL: run_id},
        "environment": {
            "HOME": "/tmp",
            "DGUNET_HOME": STATE,
            IMAGE: digest,
            **environment,
        },
    }


def _scratch(repository: Path, out: Path) -> tuple[str, str, bool]:
    """A mount for what DVC writes into the repository that it reads."""
    place = repository / ".dvc" / "tmp"
    place.mkdir(exist_ok=True)  # a mount point; DVC makes it anyway, and git ignores it
    own = out / DVC_SCRATCH
    own.mkdir(parents=True, exist_ok=True)
    return str(place), str(own), False


def _user(home: Path, out: Path) -> str:
    """Whose files the results are: the caller's; root's containers stay without rights."""
    if os.getuid():
        return f"{os.getuid()}:{os.getgid()}"
    state = home / ".dgunet"
    for place in (out, out / DVC_SCRATCH, state, state / "journal", state / "checkpoints"):
        place.mkdir(parents=True, exist_ok=True)
        os.chown(place, USER, USER)
    return f"{USER}:{USER}"


def stop(client: Any, run_id: str) -> int:
    """Remove what a run left running; returns how many containers that were."""
    found = client.containers.list(filters={"label": f"{LABEL}={run_id}"})
    for container in found:
        container.remove(force=True)
    return len(found)
