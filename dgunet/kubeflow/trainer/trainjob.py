"""The TrainJob of one training (Kubeflow Trainer v2): built by a pure function, checked strictly.

An API server drops fields it does not know without a word, among them ``podSpecOverrides``, which
was removed in Trainer 2.2 and is still in examples. So nothing is sent that `TrainJob` does not
know, and what the server made of it is compared with what was sent (`dropped`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from dgunet import files
from dgunet.kubeflow.checking import Name, Subdomain, checked
from dgunet.kubeflow.trainer.parts import (
    Affinity,
    Forwarded,
    LabelKey,
    Labels,
    Mount,
    Part,
    PodToleration,
    PodVolume,
    Resources,
    Variable,
    plain,
)

GROUP, VERSION, PLURAL = "trainer.kubeflow.org", "v1alpha1", "trainjobs"
MANAGER = "dgunet/train-step"
"""Whose patch of the runtime it is; Kueue and others have patches of their own."""

NODE = "node"
"""Trainer's name for the replicated job, and the container, that trains."""

RESERVED = {f"PET_{name}" for name in
            ("NNODES", "NPROC_PER_NODE", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT")}  # fmt: skip
"""What Trainer tells ``torchrun``; a TrainJob that sets one is refused by its webhook."""

JobName = Annotated[str, StringConstraints(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=47)]
"""At most 47 letters: pods are called after it, with ``-node-0-INDEX-`` and five more letters."""


class Owner(Part):
    """What takes the job along when it is removed."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class Metadata(Part):
    """Name, labels and owner of the job."""

    name: JobName
    namespace: Name | None = None
    labels: Labels | None = None
    annotations: dict[LabelKey, str] | None = None
    owner_references: list[Owner] | None = None


class RuntimeRef(Part):
    """Which (cluster) training runtime."""

    api_group: Literal["trainer.kubeflow.org"] | None = None
    kind: Literal["ClusterTrainingRuntime", "TrainingRuntime"] | None = None
    name: Subdomain


class TrainerSpec(Part):
    """What every node runs."""

    image: str | None = Field(default=None, max_length=500)
    command: list[str] | None = Field(default=None, max_length=128)
    args: list[str] | None = Field(default=None, max_length=128)
    env: list[Variable] | None = Field(default=None, max_length=128)
    num_nodes: int | None = Field(default=None, ge=1)
    num_proc_per_node: int | None = Field(default=None, ge=1)
    resources_per_node: Resources | None = None

    @model_validator(mode="after")
    def _variables(self) -> TrainerSpec:
        names = [each.name for each in self.env or []]
        if twice := _twice(names):
            raise ValueError(f"env with each name once, not {twice} twice")
        if taken := sorted(RESERVED & set(names)):
            raise ValueError(f"env without {', '.join(taken)}, which Trainer sets itself")
        return self


class ContainerPatch(Part):
    """Additions to a container of the runtime. Its variables go under ``trainer.env``."""

    name: Name
    volume_mounts: list[Mount] | None = Field(default=None, max_length=128)

    @model_validator(mode="after")
    def _each_volume_once(self) -> ContainerPatch:
        if twice := _twice([each.name for each in self.volume_mounts or []]):
            raise ValueError(f"volumeMounts with each volume once, not {twice} twice")
        return self


class PullSecret(Part):
    """A login to the registry."""

    name: Subdomain


class PodPatch(Part):
    """Additions to the pods of the runtime."""

    affinity: Affinity | None = None
    containers: list[ContainerPatch] | None = Field(default=None, max_length=64)
    image_pull_secrets: list[PullSecret] | None = Field(default=None, max_length=64)
    node_selector: dict[LabelKey, str] | None = None
    service_account_name: Subdomain | None = None
    termination_grace_period_seconds: int | None = Field(default=None, ge=0)
    tolerations: list[PodToleration] | None = Field(default=None, max_length=128)
    volumes: list[PodVolume] | None = Field(default=None, max_length=128)

    @model_validator(mode="after")
    def _mounts_have_volumes(self) -> PodPatch:
        names = [each.name for each in self.volumes or []]
        if twice := _twice(names):
            raise ValueError(f"volumes with each name once, not {twice} twice")
        for container in self.containers or []:
            for mount in container.volume_mounts or []:
                if mount.name not in names:
                    raise ValueError(f"a volume for the mount {mount.name} of {container.name}")
        return self


class Marks(Part):
    """Labels and annotations."""

    labels: Labels | None = None
    annotations: dict[LabelKey, str] | None = None


class PodTemplatePatch(Part):
    """Marks and settings of pods."""

    metadata: Marks | None = None
    spec: PodPatch | None = None


class JobSpecPatch(Part):
    """Of a Job."""

    template: PodTemplatePatch | None = None


class JobTemplatePatch(Part):
    """Of a Job with its marks."""

    metadata: Marks | None = None
    spec: JobSpecPatch | None = None


class ReplicatedJobPatch(Part):
    """Of the replicated job of this name."""

    name: Name
    template: JobTemplatePatch | None = None


class JobSetSpecPatch(Part):
    """Of the replicated jobs."""

    replicated_jobs: list[ReplicatedJobPatch] | None = Field(default=None, max_length=100)


class JobSetPatch(Part):
    """Of the JobSet that Trainer makes."""

    metadata: Marks | None = None
    spec: JobSetSpecPatch | None = None


class RuntimeSpecPatch(Part):
    """Of the runtime."""

    template: JobSetPatch | None = None


class RuntimePatch(Part):
    """One manager's changes to the runtime, for this job only."""

    manager: Annotated[
        str,
        StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[-A-Za-z0-9_./]+$"),
    ] = Field(max_length=253)
    training_runtime_spec: RuntimeSpecPatch | None = None


class TrainJobSpec(Part):
    """What is to be trained where."""

    runtime_ref: RuntimeRef
    trainer: TrainerSpec | None = None
    runtime_patches: list[RuntimePatch] | None = Field(default=None, max_length=16)
    active_deadline_seconds: int | None = Field(default=None, ge=1)
    suspend: bool | None = None


class TrainJob(Part):
    """A TrainJob as we send it."""

    api_version: Literal["trainer.kubeflow.org/v1alpha1"]
    kind: Literal["TrainJob"]
    metadata: Metadata
    spec: TrainJobSpec


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
        "command": ["python", "-m", "dgunet.stages.workers"],
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


def _twice(names: list[str]) -> str:
    return next((name for name in names if names.count(name) > 1), "")
