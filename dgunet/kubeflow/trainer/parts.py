"""Parts of a pod, as Kubernetes spells them, typed so that a wrong or unknown field is refused.

Only what a step of ours can ask for is known here. A field that Kubernetes has and this does not
is refused too: to drop it in silence would train with other settings than were asked for.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from dgunet.kubeflow.cluster.typed_yaml import MountPath, Name, Strict, Subdomain

LabelValue = Annotated[
    str, StringConstraints(pattern=r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$", max_length=63)
]
LabelKey = Annotated[
    str,
    StringConstraints(
        pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$",
        max_length=317,
    ),
]
Labels = dict[LabelKey, LabelValue]
VariableName = Annotated[str, StringConstraints(pattern=r"^[-._A-Za-z][-._A-Za-z0-9]*$")]
Amount = Annotated[
    str,
    BeforeValidator(lambda given: str(given) if type(given) is int else given),
    StringConstraints(pattern=r"^\d+(\.\d+)?(m|k|[KMGTPE]i?|[eE]\d+)?$"),
]
"""A quantity; whole numbers may come as numbers and go out as text, which means the same."""

FileMode = Annotated[int, Field(ge=0, le=0o777)]


class Part(Strict):
    """A part of a Kubernetes object: fields have their camel-case names and no other."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=False)


class OneOf(Part):
    """A part in which exactly one field is set, its name apart."""

    @model_validator(mode="after")
    def _exactly_one(self) -> OneOf:
        names = [name for name in type(self).model_fields if name != "name"]
        if sum(getattr(self, name) is not None for name in names) != 1:
            raise ValueError(f"exactly one of {', '.join(map(to_camel, names))}")
        return self


class KeyRef(Part):
    """One key of a secret or of a config map."""

    name: Subdomain
    key: str = Field(min_length=1)
    optional: bool | None = None


class FieldRef(Part):
    """A field of the pod itself."""

    api_version: Literal["v1"] | None = None
    field_path: str = Field(min_length=1)


class VariableSource(OneOf):
    """Where the value of a variable comes from."""

    secret_key_ref: KeyRef | None = None
    config_map_key_ref: KeyRef | None = None
    field_ref: FieldRef | None = None


class Variable(Part):
    """An environment variable."""

    name: VariableName
    value: str | None = None
    value_from: VariableSource | None = None

    @model_validator(mode="after")
    def _one_value(self) -> Variable:
        if self.value and self.value_from:
            raise ValueError("either value or valueFrom")
        return self


class Resources(Part):
    """What a container asks for, and what it may use at most."""

    limits: dict[str, Amount] | None = None
    requests: dict[str, Amount] | None = None


class PodToleration(Part):
    """Lets a pod onto nodes with this taint."""

    key: str | None = None
    operator: Literal["Equal", "Exists"] | None = None
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: int | None = None


class Claim(Part):
    """A volume claim of the namespace."""

    claim_name: Subdomain
    read_only: bool | None = None


class EmptyDir(Part):
    """A folder that lives as long as the pod; /dev/shm is one in memory."""

    medium: Literal["", "Memory"] | None = None
    size_limit: Amount | None = None


class Item(Part):
    """One key as a file."""

    key: str
    path: str
    mode: FileMode | None = None


class SecretFiles(Part):
    """A secret as files."""

    secret_name: Subdomain
    items: list[Item] | None = None
    default_mode: FileMode | None = None
    optional: bool | None = None


class ConfigFiles(Part):
    """A config map as files."""

    name: Subdomain
    items: list[Item] | None = None
    default_mode: FileMode | None = None
    optional: bool | None = None


class ClaimMeta(Part):
    """Labels and annotations of a claim to be made."""

    labels: Labels | None = None
    annotations: dict[LabelKey, str] | None = None


class ClaimSpec(Part):
    """A claim to be made."""

    access_modes: list[
        Literal["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"]
    ]
    resources: Resources
    storage_class_name: Subdomain | None = None
    volume_mode: Literal["Filesystem", "Block"] | None = None


class ClaimTemplate(Part):
    """The claim of a generic ephemeral volume."""

    metadata: ClaimMeta | None = None
    spec: ClaimSpec


class Ephemeral(Part):
    """A volume that is made with the pod and goes with it."""

    volume_claim_template: ClaimTemplate


class PodVolume(OneOf):
    """A volume of a pod."""

    name: Name
    persistent_volume_claim: Claim | None = None
    empty_dir: EmptyDir | None = None
    secret: SecretFiles | None = None
    config_map: ConfigFiles | None = None
    ephemeral: Ephemeral | None = None


class Mount(Part):
    """Where a container sees a volume."""

    name: Name
    mount_path: MountPath
    sub_path: str | None = None
    read_only: bool | None = None


class Requirement(Part):
    """One condition on labels."""

    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    values: list[str] | None = None


class NodeTerm(Part):
    """Conditions on a node, all of which must hold."""

    match_expressions: list[Requirement] | None = None
    match_fields: list[Requirement] | None = None


class NodeTerms(Part):
    """Terms, one of which must hold."""

    node_selector_terms: list[NodeTerm] = Field(min_length=1)


class WeightedNodeTerm(Part):
    """A wish about the node."""

    weight: int = Field(ge=1, le=100)
    preference: NodeTerm


class NodeAffinity(Part):
    """Which nodes."""

    required_during_scheduling_ignored_during_execution: NodeTerms | None = None
    preferred_during_scheduling_ignored_during_execution: list[WeightedNodeTerm] | None = None


class LabelSelector(Part):
    """Which pods."""

    match_labels: Labels | None = None
    match_expressions: list[Requirement] | None = None


class PodTerm(Part):
    """Near which pods."""

    topology_key: str = Field(min_length=1)
    label_selector: LabelSelector | None = None
    namespaces: list[Name] | None = None
    namespace_selector: LabelSelector | None = None


class WeightedPodTerm(Part):
    """A wish about pods nearby."""

    weight: int = Field(ge=1, le=100)
    pod_affinity_term: PodTerm


class PodAffinity(Part):
    """Near to pods, or away from them."""

    required_during_scheduling_ignored_during_execution: list[PodTerm] | None = None
    preferred_during_scheduling_ignored_during_execution: list[WeightedPodTerm] | None = None


class Affinity(Part):
    """Where a pod may and would like to run."""

    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAffinity | None = None


class Forwarded(Part):
    """What Kubeflow forwards of a task, for the pods that the task starts (``dsl.TaskConfig``)."""

    affinity: Affinity | None = None
    tolerations: list[PodToleration] | None = None
    node_selector: dict[LabelKey, str] | None = None
    env: list[Variable] | None = None
    volumes: list[PodVolume] | None = None
    volume_mounts: list[Mount] | None = None
    resources: Resources | None = None


def without_nulls(content: Any) -> Any:
    """``content`` without the nulls that a server writes for what is not set."""
    if isinstance(content, dict):
        return {key: without_nulls(value) for key, value in content.items() if value is not None}
    return [without_nulls(each) for each in content] if isinstance(content, list) else content


def plain(part: Part) -> dict[str, Any]:
    """``part`` as it goes over the wire."""
    made: dict[str, Any] = part.model_dump(by_alias=True, exclude_none=True)
    return made
