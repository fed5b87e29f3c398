"""The TrainJob of one training (Kubeflow Trainer v2), built by a pure function.

Nothing is sent that `TrainJob` does not know, and what the server made of it is compared with what
was sent (`dropped`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from dgunet.kubeflow.cluster.typed_yaml import checked
from dgunet.kubeflow.trainer.parts import Forwarded, Resources, plain
from dgunet.kubeflow.trainer.schema import TrainJob
from dgunet.system import files

GROUP, VERSION, PLURAL = "trainer.kubeflow.org", "v1alpha1", "trainjobs"
MANAGER = "dgunet/train-step"
"""Whose patch of the runtime it is; Kueue and others have patches of their own."""

NODE = "node"
"""Trainer's name for the replicated job, and the container, that trains."""


@dataclass(frozen=True)
class Plan:
    """One training over several nodes, as the manifest needs it.

    Attributes:
        name: of the job; see `job_name`.
        image: by digest.
        command: of every node; under ``torchrun`` once for each process.
        nodes: how many.
        processes: of each node; 0 means one for each GPU it asks for, at least one.
        runtime: name of a ClusterTrainingRuntime.
        variables: set on every node, over those that are forwarded.
        labels: of the job, and of its pods but for those of Kueue.
        annotations: likewise.
        pull_secrets: logins to the registry.
        owners: what takes the job along when it is removed.
        deadline: seconds, then Trainer ends the job by itself; 0 for never.
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
    owners: tuple[dict[str, Any], ...] = ()
    deadline: int = 0


def job_name(run: str, network: str) -> str:
    """A valid name, the same for the same pipeline run and network: a retried step finds its job.

    Args:
        run: id of the pipeline run.
        network: e.g. ``cs-r10-DGUNet+``.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", network.lower().replace("+", "-plus")).strip("-")
    return f"dgunet-{slug[:30].strip('-')}-{files.sha256_bytes(f'{run} {network}'.encode())[:8]}"


def manifest(plan: Plan, forwarded: Forwarded) -> dict[str, Any]:
    """The TrainJob of ``plan``, its pods set as the task of the pipeline is.

    Raises:
        ConfigError: if it would not be a valid TrainJob, naming the path of the field.
    """
    marks = {"labels": dict(plan.labels), "annotations": dict(plan.annotations)}
    trainer: dict[str, Any] = {
        "image": plan.image,
        "command": ["python", "-m", "dgunet.training.workers"],
        "args": list(plan.command),
        "numNodes": plan.nodes,
        "numProcPerNode": plan.processes or gpus_of(forwarded.resources) or 1,
        "env": _variables(plan, forwarded),
    }
    if forwarded.resources:
        trainer["resourcesPerNode"] = plain(forwarded.resources)
    # Kueue admits the job as a whole; a queue on its pods would queue each by itself.
    seen = {k: v for k, v in plan.labels.items() if not k.startswith("kueue.x-k8s.io/")}
    pods = {"metadata": marks | {"labels": seen}, "spec": _pod(plan, forwarded)}
    job = {"name": NODE, "template": {"spec": {"template": pods}}}
    runtime = {"template": {"spec": {"replicatedJobs": [job]}}}
    content: dict[str, Any] = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "TrainJob",
        "metadata": {"name": plan.name} | marks,
        "spec": {
            "runtimeRef": {"kind": "ClusterTrainingRuntime", "name": plan.runtime},
            "trainer": trainer,
            "runtimePatches": [{"manager": MANAGER, "trainingRuntimeSpec": runtime}],
        },
    }
    if plan.owners:
        content["metadata"]["ownerReferences"] = list(plan.owners)
    if plan.deadline:
        content["spec"]["activeDeadlineSeconds"] = plan.deadline
    return validated(content)


def validated(content: dict[str, Any]) -> dict[str, Any]:
    """``content``, if it is a TrainJob in every field.

    Raises:
        ConfigError: naming every wrong field with its path.
    """
    name = (content.get("metadata") or {}).get("name")
    return plain(checked(TrainJob, content, f"TrainJob {name}"))


def gpus_of(resources: Resources | None) -> int:
    """The GPUs of one node, whoever made them: every resource whose name ends with gpu."""
    if resources is None:
        return 0
    asked = (resources.requests or {}) | (resources.limits or {})
    return sum(int(amount) for name, amount in asked.items() if name.endswith("gpu"))


def on_a_volume(path: str, forwarded: Forwarded) -> bool:
    """Whether ``path`` lies on a claim that is mounted writable."""
    claims = {v.name for v in forwarded.volumes or [] if v.persistent_volume_claim}
    return any(
        mount.name in claims
        and not mount.read_only
        and PurePosixPath(path).is_relative_to(mount.mount_path)
        for mount in forwarded.volume_mounts or []
    )


def dropped(sent: Any, made: Any, path: str = "") -> list[str]:
    """The paths of what was ``sent`` and is not in what the server ``made`` of it.

    What the server adds is no matter, nor a value that it writes in another way.
    """
    if isinstance(sent, dict):
        if not isinstance(made, dict):
            return [path]
        return [
            gone
            for key, value in sent.items()
            if value not in ({}, [])
            for gone in dropped(value, made.get(key), f"{path}.{key}".lstrip("."))
        ]
    if isinstance(sent, list):
        if not isinstance(made, list):
            return [path]
        return [
            gone
            for place, value in enumerate(sent)
            for gone in dropped(value, _same(value, place, made), f"{path}[{place}]")
        ]
    return [path] if made is None and sent is not None else []


def _same(value: Any, place: int, made: list[Any]) -> Any:
    """The entry of ``made`` that ``value`` became: by its name, where entries have names."""
    for key in ("name", "manager"):
        if isinstance(value, dict) and key in value:
            return next((m for m in made if isinstance(m, dict) and m.get(key) == value[key]), None)
    return made[place] if place < len(made) else None


def _variables(plan: Plan, forwarded: Forwarded) -> list[dict[str, Any]]:
    kept = {each.name: plain(each) for each in forwarded.env or []}
    kept |= {name: {"name": name, "value": value} for name, value in plan.variables.items()}
    return list(kept.values())


def _pod(plan: Plan, forwarded: Forwarded) -> dict[str, Any]:
    volumes, mounts = _mounted_once(forwarded)
    given = plain(forwarded)
    pod = {key: given[key] for key in ("affinity", "tolerations", "nodeSelector") if given.get(key)}
    if volumes:
        pod["volumes"] = volumes
    if mounts:
        pod["containers"] = [{"name": NODE, "volumeMounts": mounts}]
    if plan.pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in plan.pull_secrets]
    return pod


def _mounted_once(forwarded: Forwarded) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Volumes and mounts in which each volume is mounted once.

    A pod may mount one volume at two paths; a patch, where mounts go by the volume's name, may not.
    So the second mount gets the volume under a second name.
    """
    volumes = {each.name: plain(each) for each in forwarded.volumes or []}
    mounts: dict[str, dict[str, Any]] = {}
    for mount in map(plain, forwarded.volume_mounts or []):
        name, number = mount["name"], 2
        while name in mounts:
            name, number = f"{mount['name'][:60]}-{number}", number + 1
        if name != mount["name"] and mount["name"] in volumes:
            volumes[name] = volumes[mount["name"]] | {"name": name}
        mounts[name] = mount | {"name": name}
    return list(volumes.values()), list(mounts.values())
