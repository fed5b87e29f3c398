"""Compiles pipeline functions to Kubeflow's intermediate representation (IR), as YAML text.

The pipeline functions are arguments: they belong to the package ``pipelines`` of a clone, which is
built on this package and is not installed with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from kfp import compiler

from dgunet.kubeflow.cluster.settings import Cluster
from dgunet.kubeflow.cluster.task_placement import TaskPlacement
from dgunet.system import files
from dgunet.system.errors import ConfigError

LOCAL = """\
# For this machine: the image of all steps is dgunet:local, which no registry has. For a cluster:
#   dgunet pipeline compile NAME --cluster FILE --out PIPELINE.yaml
#   kfp pipeline create -p NAME PIPELINE.yaml
"""
"""Head of a pipeline that was compiled without a cluster file."""

PipelineBuilder = Callable[[TaskPlacement], Any]
"""Returns a pipeline (``dsl.pipeline``) whose tasks have the settings of a placement."""


def find_pipeline(name: str, pipelines: Mapping[str, PipelineBuilder]) -> PipelineBuilder:
    """The pipeline called ``name``.

    Raises:
        ConfigError: naming the existing pipelines.
    """
    if name in pipelines:
        return pipelines[name]
    near = get_close_matches(name, pipelines, n=1)
    raise ConfigError(
        f"no pipeline {name!r}" + (f" (did you mean {near[0]}?)." if near else "."),
        f"Pipelines are: {', '.join(pipelines)}.",
    )


def compile_pipeline(build: PipelineBuilder, cluster: Cluster | None = None) -> str:
    """The IR of a pipeline; with ``cluster``, a second YAML document has the pods' settings."""
    text = compile_to_yaml(build(TaskPlacement(cluster)))
    return text if cluster else LOCAL + text


def compile_to_yaml(definition: Any) -> str:
    """The IR of a component or a pipeline, as YAML text."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "out.yaml"
        compiler.Compiler().compile(definition, str(path))
        return path.read_text(encoding="utf-8")


def version_name(text: str) -> str:
    """The name of a pipeline version on a server: equal for equal content of the IR ``text``."""
    return f"ir-{files.sha256_bytes(text.encode())[:12]}"


def documents(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pipeline of an IR, and its Kubernetes settings by executor; empty without a cluster."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found = list(yaml.load_all(text, Loader=loader))
    pods: dict[str, Any] = {}
    if len(found) > 1:
        pods = found[1]["platforms"]["kubernetes"]["deploymentSpec"].get("executors", {})
    return found[0], pods


def with_image(text: str, image: str) -> str:
    """The IR ``text`` with the container image ``image`` for every step."""
    first, *others = yaml.safe_load_all(text)
    for executor in first["deploymentSpec"]["executors"].values():
        executor["container"]["image"] = image
    return yaml.safe_dump_all([first, *others], sort_keys=False)
