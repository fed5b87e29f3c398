"""Builds the TrainJob of one training (Kubeflow Trainer v2) with pure functions.

The TrainJob is checked strictly before it is sent (`checked_trainjob`), and what the server stored
is compared with what was sent (`dropped_fields`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from dgunet.kubeflow.trainer.trainjob_schema import PodSettings, checked_trainjob
from dgunet.system import files

GROUP, VERSION, PLURAL = "trainer.kubeflow.org", "v1alpha1", "trainjobs"
MANAGER = "dgunet/train-step"
"""Owner of dgunet's runtime patch; Kueue and other controllers add patches of their own."""

NODE = "node"
"""Trainer's name for the replicated job, and for the container, that trains."""


@dataclass(frozen=True)
class TrainJobPlan:
    """The values of one TrainJob's manifest.

    Attributes:
        name: of the job; see `job_name`.
        image: by digest.
        command: of every node; ``torchrun`` runs it once for each process.
        nodes: number of nodes.
        processes: of each node; 0 means one for each GPU that it requests, at least one.
        runtime: name of a ClusterTrainingRuntime.
        variables: environment of every node; overrides forwarded variables.
        labels: of the job and of its pods; labels of Kueue are set on the job only.
        annotations: of the job and of its pods.
        pull_secrets: secrets with registry credentials.
        security: security context of the pods; fields that are missing are those of the runtime.
        owners: owner references; the job is deleted together with its owner.
        deadline: seconds until Trainer stops the job; 0 for no deadline.
    """

    name: str
    image: str
    command: tuple[str, ...]
    nodes: int
    runtime: str
    processes: int = 0
    variables: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    pull_secrets: tuple[str, ...] = ()
    security: Mapping[str, Any] = field(default_factory=dict)
    owners: tuple[dict[str, Any], ...] = ()
    deadline: int = 0


def job_name(run: str, network: str) -> str:
    """A valid name that depends on pipeline run and network only, so that a retry finds its job.

    Args:
        run: id of the pipeline run.
        network: e.g. ``cs-r10-DGUNet+``.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", network.lower().replace("+", "-plus")).strip("-")
    return f"dgunet-{slug[:30].strip('-')}-{files.sha256_bytes(f'{run} {network}'.encode())[:8]}"


def manifest(plan: TrainJobPlan, forwarded: PodSettings) -> dict[str, Any]:
    """The TrainJob of ``plan``, its pods with the settings of the pipeline's task.

    Raises:
        ConfigError: if it would not be a valid TrainJob, naming the path of the field.
    """
    metadata = {"labels": dict(plan.labels), "annotations": dict(plan.annotations)}
    # Kueue admits the job as a whole; a queue label on its pods would queue each one separately.
    of_pods = {k: v for k, v in plan.labels.items() if not k.startswith("kueue.x-k8s.io/")}
    pods = {"metadata": metadata | {"labels": of_pods}, "spec": _pod(plan, forwarded)}
    job = {"name": NODE, "template": {"spec": {"template": pods}}}
    runtime = {"template": {"spec": {"replicatedJobs": [job]}}}
    content: dict[str, Any] = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "TrainJob",
        "metadata": {"name": plan.name} | metadata,
        "spec": {
            "runtimeRef": {"kind": "ClusterTrainingRuntime", "name": plan.runtime},
            "trainer": _trainer(plan, forwarded),
            "runtimePatches": [{"manager": MANAGER, "trainingRuntimeSpec": runtime}],
        },
    }
    if plan.owners:
        content["metadata"]["ownerReferences"] = list(plan.owners)
    if plan.deadline:
        content["spec"]["activeDeadlineSeconds"] = plan.deadline
    return checked_trainjob(content)


def gpus_of(resources: Mapping[str, Any]) -> int:
    """GPUs of one node, of any vendor: the sum of all resources whose name ends with ``gpu``."""
    amounts = resources.get("requests", {}) | resources.get("limits", {})
    return sum(int(amount) for name, amount in amounts.items() if name.endswith("gpu"))


def on_a_volume(path: str, forwarded: PodSettings) -> bool:
    """Whether ``path`` is on a volume claim that is mounted writable."""
    claims = {v["name"] for v in forwarded.get("volumes", ()) if v.get("persistentVolumeClaim")}
    return any(
        mount["name"] in claims
        and not mount.get("readOnly")
        and PurePosixPath(path).is_relative_to(mount["mountPath"])
        for mount in forwarded.get("volumeMounts", ())
    )


def dropped_fields(sent: Any, stored: Any, path: str = "") -> list[str]:
    """Paths of fields that were ``sent`` and are missing from what the server ``stored``.

    Fields that the server added, and values that it writes in another form, do not count.
    """
    if isinstance(sent, dict):
        if not isinstance(stored, dict):
            return [path]
        return [
            missing
            for key, value in sent.items()
            if value not in ({}, [])
            for missing in dropped_fields(value, stored.get(key), f"{path}.{key}".lstrip("."))
        ]
    if isinstance(sent, list):
        if not isinstance(stored, list):
            return [path]
        return [
            missing
            for index, value in enumerate(sent)
            for missing in dropped_fields(value, _same(value, index, stored), f"{path}[{index}]")
        ]
    return [path] if stored is None and sent is not None else []


def _same(value: Any, index: int, stored: list[Any]) -> Any:
    """The entry of ``stored`` that corresponds to ``value``: by name, else by index."""
    for key in ("name", "manager"):
        if isinstance(value, dict) and key in value:
            named = (entry for entry in stored if isinstance(entry, dict))
            return next((entry for entry in named if entry.get(key) == value[key]), None)
    return stored[index] if index < len(stored) else None


def _trainer(plan: TrainJobPlan, forwarded: PodSettings) -> dict[str, Any]:
    resources = forwarded.get("resources", {})
    variables = {each["name"]: each for each in forwarded.get("env", ())}
    variables |= {name: {"name": name, "value": text} for name, text in plan.variables.items()}
    trainer: dict[str, Any] = {
        "image": plan.image,
        "command": ["python", "-m", "dgunet.training.workers"],
        "args": list(plan.command),
        "numNodes": plan.nodes,
        "numProcPerNode": plan.processes or gpus_of(resources) or 1,
        "env": list(variables.values()),
    }
    return trainer | ({"resourcesPerNode": resources} if resources else {})


def _pod(plan: TrainJobPlan, forwarded: PodSettings) -> dict[str, Any]:
    volumes, mounts = _each_mounted_once(forwarded)
    names = ("affinity", "tolerations", "nodeSelector")
    pod = {name: forwarded[name] for name in names if forwarded.get(name)}
    if volumes:
        pod["volumes"] = volumes
    if mounts:
        pod["containers"] = [{"name": NODE, "volumeMounts": mounts}]
    if plan.security:
        pod["securityContext"] = dict(plan.security)
    if plan.pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in plan.pull_secrets]
    return pod


def _each_mounted_once(forwarded: PodSettings) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Volumes and mounts in which each volume is mounted once.

    A pod may mount one volume at two paths. In a runtime patch, mounts are identified by the name
    of their volume, so a second mount gets the same volume under a second name.
    """
    volumes = {each["name"]: each for each in forwarded.get("volumes", ())}
    mounts: dict[str, dict[str, Any]] = {}
    for mount in forwarded.get("volumeMounts", ()):
        name, number = mount["name"], 2
        while name in mounts:
            name, number = f"{mount['name'][:60]}-{number}", number + 1
        if name != mount["name"] and mount["name"] in volumes:
            volumes[name] = volumes[mount["name"]] | {"name": name}
        mounts[name] = mount | {"name": name}
    return list(volumes.values()), list(mounts.values())
