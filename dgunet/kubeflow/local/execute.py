"""Runs a compiled pipeline with kfp's local runner: ``python -m dgunet.kubeflow.local.execute``.

It is a separate process because the runner replaces ``print`` and the log handlers of its process,
and because a signal to the process group also ends the steps.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

from kfp import components, local

from dgunet.kubeflow.local.told_steps import tell_steps
from dgunet.system import environment
from dgunet.system.errors import DgunetError
from dgunet.system.logs import log_to_stderr
from dgunet.system.reading import read_mapping


def main(folder: Path) -> None:
    """Run ``pipeline.yaml`` of ``folder`` with ``arguments.json`` and the settings ``how.json``."""
    settings = read_mapping(folder / "how.json")
    tell_steps(warm=environment.WARM.is_given())
    warnings.filterwarnings("ignore", category=RuntimeWarning)  # about image names without "python"
    local.init(
        runner=_runner(settings["docker"]),
        pipeline_root=settings["out"],
        workspace_root=settings["workspace"],  # the runner deletes it
        raise_on_error=True,
    )
    pipeline = components.load_component_from_file(str(folder / "pipeline.yaml"))
    try:
        pipeline(**read_mapping(folder / "arguments.json"))
    except RuntimeError as error:  # raised by the runner when a step failed; the log has the cause
        sys.exit(str(error))


def _runner(docker: dict[str, Any] | None) -> Any:
    if docker is None:
        return local.SubprocessRunner(use_venv=False)
    from docker.types import DeviceRequest, Mount

    options = dict(docker)
    mounts = [
        Mount(target, source, type="bind", read_only=read_only)
        for target, source, read_only in options.pop("mounts")
    ]
    if options.pop("gpus"):
        options["device_requests"] = [DeviceRequest(count=-1, capabilities=[["gpu"]])]
    return local.DockerRunner(mounts=mounts, **options)


if __name__ == "__main__":
    log_to_stderr()
    try:
        main(Path(sys.argv[1]))
    except DgunetError as failure:
        sys.exit(f"{type(failure).__name__}: {failure}")
