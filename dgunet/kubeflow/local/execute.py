"""The process that runs a compiled pipeline with kfp's local runner: ``python -m`` this module.

A process of its own, because the runner replaces ``print`` and the log handlers of the process that
it runs in, and because its steps end with it when the whole group is told to.
"""

from __future__ import annotations

import shlex
import sys
import warnings
from pathlib import Path
from typing import Any

from kfp import components, local

from dgunet.system.errors import DgunetError
from dgunet.system.logs import log_to_stderr
from dgunet.system.reading import read_mapping


def main(folder: Path) -> None:
    """Run what ``folder`` says: ``pipeline.yaml`` with ``arguments.json`` as ``how.json`` says."""
    log_to_stderr()
    how = read_mapping(folder / "how.json")
    # The runner puts this path into shell scripts as it is: a space in it would end the command.
    sys.executable = shlex.quote(sys.executable)
    warnings.filterwarnings("ignore", category=RuntimeWarning)  # images without "python" in a name
    local.init(
        runner=_runner(how["docker"]),
        pipeline_root=how["out"],
        workspace_root=how["workspace"],  # the runner deletes it
        raise_on_error=True,
    )
    pipeline = components.load_component_from_file(str(folder / "pipeline.yaml"))
    try:
        pipeline(**read_mapping(folder / "arguments.json"))
    except RuntimeError as error:  # how the runner says that a step failed; its log is above
        sys.exit(str(error))


def _runner(docker: dict[str, Any] | None) -> Any:
    if docker is None:
        return local.SubprocessRunner(use_venv=False)
    from docker.types import DeviceRequest, Mount

    settings = dict(docker)
    mounts = [
        Mount(target, source, type="bind", read_only=read_only)
        for target, source, read_only in settings.pop("mounts")
    ]
    if settings.pop("gpus"):
        settings["device_requests"] = [DeviceRequest(count=-1, capabilities=[["gpu"]])]
    return local.DockerRunner(mounts=mounts, **settings)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except DgunetError as failure:
        sys.exit(f"{type(failure).__name__}: {failure}")
