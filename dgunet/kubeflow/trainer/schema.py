"""A TrainJob as typed objects: what Trainer 2.3 knows and we send, and nothing else.

An API server drops fields it does not know without a word, among them ``podSpecOverrides``, which
was removed in Trainer 2.2 and is still in examples. Here they are errors.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from dgunet.kubeflow.cluster.typed_yaml import Name, Subdomain
from dgunet.kubeflow.trainer.parts import (
    Affinity,
    LabelKey,
    Labels,
    Mount,
    Part,
    PodToleration,
    PodVolume,
    Resources,
    Variable,
)

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


def _twice(names: list[str]) -> str:
    return next((name for name in names if names.count(name) > 1), "")
