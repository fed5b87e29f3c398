"""The cluster file (``pipelines/cluster.yaml``) as typed objects."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from dgunet.data.catalogue.entries import CATALOGUE
from dgunet.kubeflow.cluster.typed_yaml import (
    EnvironmentName,
    MountPath,
    Quantity,
    Strict,
    Subdomain,
    checked,
)
from dgunet.project import test_sets
from dgunet.system.address import Address
from dgunet.system.environment import CHECKPOINTS, HOME, STORES
from dgunet.system.errors import ConfigError
from dgunet.system.reading import parse_yaml, read_text, shorten_bare

TEXT_BYTES = 256 << 10
"""Largest cluster file, bytes."""

SHARED_STORES = "stores"
"""Name of the folder for prepared stores in ``trainer.shared``."""

YEAR = 366 * 86_400
"""Seconds; the longest wait and the longest deadline."""

BY_DIGEST = re.compile(r"^\S+@(sha256:[0-9a-f]{64})$")
SECRET_WORDS = ("PASSWORD", "SECRET", "TOKEN", "ACCESS_KEY", "CREDENTIAL")

StepName = Literal[
    "survey", "prepare", "train", "train_ablation", "evaluate", "submission", "gather", "tables",
    "report", "finish", "load", "fetch_weights", "keep_model",
]  # fmt: skip


class Toleration(Strict):
    """A toleration of a pod: allows nodes with this taint."""

    key: str | None = None
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    seconds: int | None = Field(default=None, ge=0, le=YEAR)

    @model_validator(mode="after")
    def _exists_has_no_value(self) -> Toleration:
        if self.operator == "Exists" and self.value is not None:
            raise ValueError("a value is not allowed with operator Exists")
        return self


class Retries(Strict):
    """Retries of a failed step, with increasing waits."""

    count: int = Field(ge=0, le=10)
    wait: int = Field(default=60, ge=0, le=YEAR, description="seconds before the first retry")
    factor: float = Field(default=2.0, ge=1, le=100)
    longest: int = Field(default=3600, gt=0, le=YEAR, description="seconds, upper limit of a wait")


class Step(Strict):
    """Settings of a step's pod; unset fields take their values from ``defaults``."""

    cpu: Quantity | None = None
    memory: Quantity | None = None
    gpus: int | None = Field(default=None, ge=0, le=64)
    gpu_type: str | None = Field(default=None, pattern=r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$")
    shm: Quantity | None = Field(default=None, description="size of /dev/shm")
    node_selector: dict[str, str] | None = None
    tolerations: list[Toleration] | None = None
    timeout: int | None = Field(default=None, gt=0, le=YEAR, description="seconds")
    retries: Retries | None = None
    cache: bool | None = None
    image: str | None = None


class Secret(Strict):
    """A Kubernetes secret whose keys become environment variables."""

    name: Subdomain
    keys: dict[str, EnvironmentName] = Field(min_length=1)
    optional: bool = False


class Security(Strict):
    """The user that the steps run as; never root."""

    user: int | None = Field(default=None, gt=0, le=2**31 - 1, description="default: the image's")
    group: int | None = Field(default=None, gt=0, le=2**31 - 1)


class Volume(Strict):
    """A volume claim that every step mounts."""

    claim: Subdomain
    path: MountPath
    sub_path: str = ""
    size: Quantity | None = Field(default=None, description="of the claim, for the plan")


class Parallelism(Strict):
    """Concurrent iterations of each loop."""

    networks: int = Field(default=2, gt=0, le=1_000)
    sets: int = Field(default=2, gt=0, le=1_000)
    ablations: int = Field(default=2, gt=0, le=1_000)


class Ending(Strict):
    """Times until a run is cleaned up, and until it is stopped; seconds."""

    ttl_success: int | None = Field(default=None, ge=0, le=YEAR)
    ttl_failure: int | None = Field(default=None, ge=0, le=YEAR)
    deadline: int | None = Field(default=None, gt=0, le=YEAR)


class Trainer(Strict):
    """Trainings as TrainJobs of Kubeflow Trainer (v2), which continue after an eviction."""

    nodes: int = Field(ge=1, le=64, description="of each network; an ablation has one")
    runtime: Subdomain = "dgunet-torch"
    shared: MountPath = Field(description="path on a volume that the step and all nodes mount")
    poll: int = Field(
        default=15, gt=0, le=86_400, description="seconds between two reads of the job's state"
    )
    restarts: int = Field(
        default=5, ge=0, le=1_000, description="restarts after interruptions of a node"
    )


class Cluster(Strict):
    """The content of a cluster file."""

    image: str
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    pull_secrets: list[Subdomain] = Field(default_factory=list)
    service_account: Subdomain | None = None
    security: Security = Security()
    environment: dict[EnvironmentName, str] = Field(default_factory=dict)
    checkpoints: str | None = Field(
        default=None, description="bucket in which every checkpoint is mirrored"
    )
    secrets: list[Secret] = Field(default_factory=list)
    volumes: list[Volume] = Field(default_factory=list)
    stores: MountPath | None = Field(
        default=None, description="folder on one of the volumes for prepared stores"
    )
    artifact_store: Quantity | None = Field(
        default=None, description="size of Kubeflow's artifact store, for the plan"
    )
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    parallelism: Parallelism = Parallelism()
    parts: dict[str, Annotated[int, Field(ge=2, le=1_000)]] = Field(
        default_factory=dict, description="pods that share the evaluation of a test set"
    )
    ending: Ending = Ending()
    trainer: Trainer | None = None
    defaults: Step = Step()
    steps: dict[StepName, Step] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _image_by_digest(self) -> Cluster:
        for image in (self.image, *(s.image for s in self.steps.values() if s.image)):
            if not BY_DIGEST.match(image):
                raise ValueError(
                    f"image {image!r} is not NAME@sha256:<64 digits>: a tag can move, and the "
                    "cache would not detect it"
                )
        return self

    @model_validator(mode="after")
    def _no_secret_in_environment(self) -> Cluster:
        for name, value in self.environment.items():
            if any(word in name.upper() for word in SECRET_WORDS) or Address(value).has_secret:
                raise ValueError(f"environment.{name} may be a secret: give it under secrets")
        return self

    @model_validator(mode="after")
    def _checkpoints_in_one_bucket(self) -> Cluster:
        if self.checkpoints is not None and Address(self.checkpoints).bucket is None:
            raise ValueError(
                f"checkpoints is {str(Address(self.checkpoints))!r}, allowed: s3://BUCKET/PREFIX;"
                " give credentials under secrets"
            )
        if self.checkpoints and CHECKPOINTS.name in self.environment:
            raise ValueError(f"environment.{CHECKPOINTS.name} and checkpoints: give one of them")
        return self

    @model_validator(mode="after")
    def _folders_on_volumes(self) -> Cluster:
        shared = self.trainer.shared if self.trainer else None
        for name, folder in (("trainer.shared", shared), ("stores", self.stores)):
            if folder and self.volume_of(folder) is None:
                raise ValueError(f"{name} {folder!r} is not on one of the volumes")
        if STORES.name in self.environment:
            raise ValueError(f"environment.{STORES.name}: give this folder as stores")
        return self

    @model_validator(mode="after")
    def _parts_of_test_sets_on_a_volume(self) -> Cluster:
        known = test_sets("all")
        for name, count in self.parts.items():
            if name not in known:
                raise ValueError(
                    f"parts.{shorten_bare(name)} is not a test set, allowed: {', '.join(known)}"
                )
            if count > CATALOGUE[name].pairs:
                raise ValueError(
                    f"parts.{name} is {count}, but {name} has {CATALOGUE[name].pairs} images"
                )
        home = self.environment.get(HOME.name)
        if self.parts and (home is None or self.volume_of(home) is None):
            found = "is not set" if home is None else f"{home!r} is not on one of the volumes"
            raise ValueError(
                f"parts needs environment.{HOME.name} on a volume, which {found}: the pods of a"
                " test set leave their scores there, and the evaluation merges them"
            )
        return self

    def volume_of(self, folder: str) -> Volume | None:
        """The volume that ``folder`` is on; None if it is on none."""
        mounts = [v for v in self.volumes if PurePosixPath(folder).is_relative_to(v.path)]
        return max(mounts, key=lambda volume: len(volume.path), default=None)

    @property
    def stores_folder(self) -> str | None:
        """The folder for prepared stores: ``stores``, or the one that TrainJobs use.

        None if the stores are artifacts.
        """
        if self.stores or self.trainer is None:
            return self.stores
        return str(PurePosixPath(self.trainer.shared, SHARED_STORES))

    @property
    def digest(self) -> str:
        """The image's digest, ``sha256:...``."""
        found = BY_DIGEST.match(self.image)
        return found[1] if found else ""

    def step(self, name: str) -> Step:
        """The settings of step ``name``, with the defaults filled in."""
        own = next((step for key, step in self.steps.items() if key == name), Step())
        merged: dict[str, Any] = dict(self.defaults) | {
            key: value for key, value in own if value is not None
        }
        return Step.model_construct(**merged)


def load_cluster(path: Path) -> Cluster:
    """Read and check a cluster file.

    Raises:
        ConfigError: if it is missing, not YAML, or has an invalid field; the message names the
            path of the field.
    """
    try:
        text = read_text(path, limit=TEXT_BYTES, kind=ConfigError)
    except FileNotFoundError as error:
        raise ConfigError(
            f"no cluster file {path}.", "Copy pipelines/cluster.yaml and adapt it to your cluster."
        ) from error
    return checked(Cluster, parse_yaml(text, str(path), kind=ConfigError), str(path))
