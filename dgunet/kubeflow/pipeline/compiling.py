"""From a pipeline's name to what Kubeflow reads: its IR, as YAML text."""

from __future__ import annotations

import importlib
import sys
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import yaml
from kfp import compiler

from dgunet.kubeflow.cluster.settings import Cluster
from dgunet.kubeflow.cluster.task_placement import Place
from dgunet.system import files
from dgunet.system.errors import ConfigError


def clone(home: Path) -> ModuleType:
    """The clone's package ``pipelines``, which says what is run and is not part of the wheel.

    Raises:
        ConfigError: if ``home`` is no clone of the project.
    """
    if not all((home / name / "__init__.py").is_file() for name in ("pipelines", "components")):
        raise ConfigError(
            f"no pipelines/ and components/ in {home}.",
            "They are part of the repository, not of the installed package: run in a clone.",
        )
    if str(home) not in sys.path:
        sys.path.insert(0, str(home))
    found = importlib.import_module("pipelines")
    if Path(found.__file__ or "").parent.resolve() != (home / "pipelines").resolve():
        raise ConfigError(f"pipelines is {found.__file__}, not of {home}.", "Run in a clone.")
    return found


def check_name(name: str, home: Path) -> str:
    """Return ``name`` if the clone has a pipeline of that name.

    Raises:
        ConfigError: naming the pipelines there are.
    """
    names = clone(home).NAMES
    if name in names:
        return name
    near = get_close_matches(name, names, n=1)
    raise ConfigError(
        f"no pipeline {name!r}" + (f" (did you mean {near[0]}?)." if near else "."),
        f"Pipelines are: {', '.join(names)}.",
    )


def compile_pipeline(name: str, home: Path, cluster: Cluster | None = None) -> str:
    """The IR of a pipeline; with ``cluster``, a second document says how its pods are made.

    Raises:
        ConfigError: as `check_name`.
    """
    build = importlib.import_module(f"pipelines.{check_name(name, home)}").build
    return compiled(build(Place(cluster)))


def compiled(thing: Any) -> str:
    """The IR of a component or a pipeline function, as YAML text."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "out.yaml"
        compiler.Compiler().compile(thing, str(path))
        return path.read_text(encoding="utf-8")


def version_name(text: str) -> str:
    """The name under which a server keeps this IR: the same content, the same name."""
    return f"ir-{files.sha256_bytes(text.encode())[:12]}"


def documents(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Pipeline and Kubernetes settings of an IR; the second is empty without a cluster."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found = list(yaml.load_all(text, Loader=loader))
    pods: dict[str, Any] = {}
    if len(found) > 1:
        pods = found[1]["platforms"]["kubernetes"]["deploymentSpec"].get("executors", {})
    return found[0], pods


def with_image(text: str, image: str) -> str:
    """The same pipeline with every step in the container image ``image``."""
    first, *others = yaml.safe_load_all(text)
    for executor in first["deploymentSpec"]["executors"].values():
        executor["container"]["image"] = image
    return yaml.safe_dump_all([first, *others], sort_keys=False)
