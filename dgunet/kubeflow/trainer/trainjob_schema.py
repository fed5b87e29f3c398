"""Strict check of a TrainJob and of the pod settings that Kubeflow forwards.

Fields and types are those of the generated models of Kubeflow Trainer 2.3. This module adds the
patterns and ranges of its CRD and the rules of its webhook, and refuses what dgunet never sends.
``podSpecOverrides``, removed in Trainer 2.2 and still in examples, is refused as an unknown field.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Optional

from kubeflow_trainer_api import models as k8s
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from dgunet.kubeflow.cluster.typed_yaml import MountPath, Name, Subdomain, checked
from dgunet.kubeflow.trainer.strict_models import Constraints, StrictModels

PodSettings = dict[str, Any]
"""Checked settings of a task, in the spelling of the API: see `Forwarded`."""

RESERVED = {f"PET_{name}" for name in
            ("NNODES", "NPROC_PER_NODE", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT")}  # fmt: skip
"""Variables that Trainer sets for ``torchrun``; its webhook refuses a TrainJob that sets one."""

LABEL_VALUE = r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"
LABEL_KEY = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
MANAGER = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[-A-Za-z0-9_./]+$"
QUANTITY = r"^\d+(\.\d+)?(m|k|[KMGTPE]i?|[eE]\d+)?$"
VARIABLE = r"^[-._A-Za-z][-._A-Za-z0-9]*$"

LabelValue = Annotated[str, StringConstraints(pattern=LABEL_VALUE, max_length=63)]
LabelKey = Annotated[str, StringConstraints(pattern=LABEL_KEY, max_length=317)]
Labels = dict[LabelKey, LabelValue]
Annotations = dict[LabelKey, str]
JobName = Annotated[str, StringConstraints(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=47)]
"""At most 47 characters: names of pods append ``-node-0-INDEX-`` and five more characters."""

Quantity = Annotated[
    str,
    BeforeValidator(lambda given: str(given) if type(given) is int else given),
    StringConstraints(pattern=QUANTITY),
]
"""An amount; an integer may be given as a number and is sent as text, which is equivalent."""

Positive = Annotated[int, Field(ge=1)]
VOLUME_SOURCES = ("persistent_volume_claim", "empty_dir", "secret", "config_map", "ephemeral")
"""What Kubeflow Pipelines can mount; a folder of the node (hostPath) is never sent."""

VALUE_SOURCES = ("secret_key_ref", "config_map_key_ref", "field_ref")


class Forwarded(BaseModel):
    """What Kubeflow forwards of a task for the pods that it starts (``dsl.TaskConfig``)."""

    model_config = ConfigDict(alias_generator=to_camel)

    affinity: Optional[k8s.IoK8sApiCoreV1Affinity]  # noqa: UP045 - as in the generated models
    tolerations: Optional[list[k8s.IoK8sApiCoreV1Toleration]]  # noqa: UP045
    node_selector: Optional[Annotations]  # noqa: UP045
    env: Optional[list[k8s.IoK8sApiCoreV1EnvVar]]  # noqa: UP045
    volumes: Optional[list[k8s.IoK8sApiCoreV1Volume]]  # noqa: UP045
    volume_mounts: Optional[list[k8s.IoK8sApiCoreV1VolumeMount]]  # noqa: UP045
    resources: Optional[k8s.IoK8sApiCoreV1ResourceRequirements]  # noqa: UP045


def checked_trainjob(content: dict[str, Any]) -> dict[str, Any]:
    """``content`` if it is a valid TrainJob.

    Raises:
        ConfigError: naming the invalid fields with path, value and what is allowed.
    """
    metadata = content.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return _checked(k8s.TrainerV1alpha1TrainJob, content, f"TrainJob {name}")


def checked_pod_settings(content: dict[str, Any], origin: str) -> PodSettings:
    """``content`` if it is what `Forwarded` describes; ``origin`` is named in errors.

    Raises:
        ConfigError: naming the invalid fields with path, value and what is allowed.
    """
    return _checked(Forwarded, content, origin)


def _checked(model: type[BaseModel], content: dict[str, Any], origin: str) -> dict[str, Any]:
    part = checked(_STRICT.of(model), content, origin)
    made: dict[str, Any] = part.model_dump(by_alias=True, exclude_none=True)
    return made


def _exactly_one(names: tuple[str, ...], part: Any) -> None:
    if sum(getattr(part, name) is not None for name in names) != 1:
        raise ValueError(f"exactly one of {', '.join(map(to_camel, names))} is required")


def _check_volume(volume: Any) -> None:
    _exactly_one(VOLUME_SOURCES, volume)


def _check_value_source(source: Any) -> None:
    _exactly_one(VALUE_SOURCES, source)


def _check_variable(variable: Any) -> None:
    if variable.value and variable.value_from:
        raise ValueError("give value or valueFrom, not both")


def _check_trainer(trainer: Any) -> None:
    names = [each.name for each in trainer.env or []]
    if twice := _repeated(names):
        raise ValueError(f"env contains {twice} more than once")
    if taken := sorted(RESERVED & set(names)):
        raise ValueError(f"env contains {', '.join(taken)}, which Trainer sets itself")


def _check_container(container: Any) -> None:
    if twice := _repeated([each.name for each in container.volume_mounts or []]):
        raise ValueError(f"volumeMounts contains {twice} more than once")


def _check_pod(pod: Any) -> None:
    names = [each.name for each in pod.volumes or []]
    if twice := _repeated(names):
        raise ValueError(f"volumes contains {twice} more than once")
    for container in pod.containers or []:
        for mount in container.volume_mounts or []:
            if mount.name not in names:
                raise ValueError(f"the mount {mount.name} of {container.name} has no volume")


def _repeated(names: list[str]) -> str:
    """The first name that occurs more than once; "" if there is none."""
    return next((name for name in names if names.count(name) > 1), "")


def _list(item: Any, longest: int) -> Any:
    """The type of an optional list of at most ``longest`` items."""
    return Annotated[list[item], Field(max_length=longest)] | None


_KEY = {"name": Subdomain, "key": Annotated[str, Field(min_length=1)]}
_FILES = {"default_mode": Annotated[int, Field(ge=0, le=0o777)] | None}
_TYPES: dict[type[BaseModel], dict[str, Any]] = {
    k8s.TrainerV1alpha1TrainJob: {
        "api_version": Literal["trainer.kubeflow.org/v1alpha1"],
        "kind": Literal["TrainJob"],
        "metadata": k8s.IoK8sApimachineryPkgApisMetaV1ObjectMeta,
        "spec": k8s.TrainerV1alpha1TrainJobSpec,
    },
    k8s.IoK8sApimachineryPkgApisMetaV1ObjectMeta: {
        "name": JobName | None,
        "namespace": Name | None,
        "labels": Labels | None,
        "annotations": Annotations | None,
    },
    k8s.TrainerV1alpha1TrainJobSpec: {
        "runtime_patches": _list(k8s.TrainerV1alpha1RuntimePatch, 16),
        "active_deadline_seconds": Positive | None,
    },
    k8s.TrainerV1alpha1RuntimeRef: {
        "name": Subdomain,
        "api_group": Literal["trainer.kubeflow.org"] | None,
        "kind": Literal["ClusterTrainingRuntime", "TrainingRuntime"] | None,
    },
    k8s.TrainerV1alpha1Trainer: {
        "image": Annotated[str, Field(max_length=500)] | None,
        "command": _list(str, 128),
        "args": _list(str, 128),
        "env": _list(k8s.IoK8sApiCoreV1EnvVar, 128),
        "num_nodes": Positive | None,
        "num_proc_per_node": Positive | None,
    },
    k8s.TrainerV1alpha1RuntimePatch: {
        "manager": Annotated[str, StringConstraints(pattern=MANAGER, max_length=253)]
    },
    k8s.TrainerV1alpha1JobSetSpecPatch: {
        "replicated_jobs": _list(k8s.TrainerV1alpha1ReplicatedJobPatch, 100)
    },
    k8s.TrainerV1alpha1ReplicatedJobPatch: {"name": Name},
    k8s.TrainerV1alpha1PodSpecPatch: {
        "containers": _list(k8s.TrainerV1alpha1ContainerPatch, 64),
        "image_pull_secrets": _list(k8s.IoK8sApiCoreV1LocalObjectReference, 64),
        "node_selector": Annotations | None,
        "service_account_name": Subdomain | None,
        "tolerations": _list(k8s.IoK8sApiCoreV1Toleration, 128),
        "volumes": _list(k8s.IoK8sApiCoreV1Volume, 128),
    },
    k8s.TrainerV1alpha1ContainerPatch: {
        "name": Name,
        "volume_mounts": _list(k8s.IoK8sApiCoreV1VolumeMount, 128),
    },
    k8s.IoK8sApiCoreV1LocalObjectReference: {"name": Subdomain},
    k8s.IoK8sApiCoreV1EnvVar: {"name": Annotated[str, StringConstraints(pattern=VARIABLE)]},
    k8s.IoK8sApiCoreV1SecretKeySelector: _KEY,
    k8s.IoK8sApiCoreV1ConfigMapKeySelector: _KEY,
    k8s.IoK8sApiCoreV1Toleration: {
        "operator": Literal["Equal", "Exists"] | None,
        "effect": Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None,
    },
    k8s.IoK8sApiCoreV1Volume: {"name": Name},
    k8s.IoK8sApiCoreV1VolumeMount: {"name": Name, "mount_path": MountPath},
    k8s.IoK8sApiCoreV1PersistentVolumeClaimVolumeSource: {"claim_name": Subdomain},
    k8s.IoK8sApiCoreV1EmptyDirVolumeSource: {"medium": Literal["", "Memory"] | None},
    k8s.IoK8sApiCoreV1SecretVolumeSource: _FILES | {"secret_name": Subdomain},
    k8s.IoK8sApiCoreV1ConfigMapVolumeSource: _FILES | {"name": Subdomain},
}
_STRICT = StrictModels(
    Constraints(
        scalars={k8s.IoK8sApimachineryPkgApiResourceQuantity: Quantity},
        types=_TYPES,
        known={
            k8s.IoK8sApiCoreV1Volume: ("name", *VOLUME_SOURCES),
            k8s.IoK8sApiCoreV1EnvVarSource: VALUE_SOURCES,
            # Variables go to trainer.env: the webhook refuses them in a patch of this container.
            k8s.TrainerV1alpha1ContainerPatch: ("name", "volume_mounts"),
        },
        checks={
            k8s.IoK8sApiCoreV1Volume: _check_volume,
            k8s.IoK8sApiCoreV1EnvVarSource: _check_value_source,
            k8s.IoK8sApiCoreV1EnvVar: _check_variable,
            k8s.TrainerV1alpha1Trainer: _check_trainer,
            k8s.TrainerV1alpha1ContainerPatch: _check_container,
            k8s.TrainerV1alpha1PodSpecPatch: _check_pod,
        },
    )
)
