"""The space that the prepared stores of a run take, and whether the place for them has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dgunet.config import parse_params
from dgunet.costs.formats import size
from dgunet.costs.storage import prepared_bytes
from dgunet.kubeflow.cluster.settings import Cluster
from dgunet.kubeflow.steps.data_source import is_folder
from dgunet.kubeflow.steps.prepared_stores import store_layout
from dgunet.kubeflow.submission.cost import PlannedTraining, trainings
from dgunet.project import TRAINING_SETS
from dgunet.system.errors import ConfigError
from dgunet.terms import ABLATION_SET, ABLATION_TASK

DEFAULT_ARTIFACT_STORE = "20Gi"
"""The claim of the artifact store that Kubeflow Pipelines' own manifests install."""

ReadSize = Callable[[str], str | None]
"""Returns the size of a claim as a quantity of Kubernetes; None if it cannot be read."""


@dataclass(frozen=True)
class StoresSpace:
    """The stores of a run and the place for them.

    Attributes:
        sizes: of each store, bytes; for a compact one at most.
        where: the place, as a part of a sentence.
        claim: the claim of that place; "" for the artifact store.
        capacity: size of the place, as a quantity; None if it is not known.
        origin: where the capacity is from.
    """

    sizes: Mapping[str, int]
    where: str
    claim: str
    capacity: str | None
    origin: str

    @property
    def total(self) -> int:
        """Bytes of all stores together."""
        return sum(self.sizes.values())

    @property
    def largest(self) -> list[str]:
        """Names of the stores, the largest first."""
        return sorted(self.sizes, key=lambda name: (-self.sizes[name], name))

    def __str__(self) -> str:
        shown = ", ".join(f"{name} {size(self.sizes[name])}" for name in self.largest[:4])
        return f"up to {size(self.total)} ({shown})"


def stores_space(
    cluster: Cluster, arguments: Mapping[str, Any], read_size: ReadSize = lambda claim: None
) -> StoresSpace | None:
    """The space of a run with these arguments; None for the sample, which takes some megabytes.

    Args:
        cluster: the place of the stores; the size that it states for a claim takes precedence.
        arguments: see `dgunet.kubeflow.pipeline.arguments`.
        read_size: of a claim in the cluster.
    """
    params = parse_params(arguments["params"])
    if params.profile == "sample":
        return None
    sizes = {
        name: prepared_bytes(name, layout=store_layout(params.profile, name))
        for name in set(_prepared_sets(arguments, trainings(arguments, params)))
    }
    folder = cluster.stores_folder
    volume = cluster.volume_of(folder) if folder else None
    if volume is None:
        stated = cluster.artifact_store
        where = "Kubeflow's artifact store"
        return StoresSpace(sizes, where, "", stated, "artifact_store in the cluster file")
    where = f"the claim {volume.claim} (stores: {folder})"
    if volume.size:
        return StoresSpace(sizes, where, volume.claim, volume.size, "size in the cluster file")
    return StoresSpace(sizes, where, volume.claim, read_size(volume.claim), "read from the cluster")


def check_space(space: StoresSpace | None) -> None:
    """Refuse a run whose stores do not fit into their place, if its size is known.

    Raises:
        ConfigError: naming the place, its size, and what is needed.
    """
    if space is None or not exceeds(space):
        return
    hint = (
        "Enlarge the claim (spec.resources.requests.storage) or set stores: to a folder on a larger"
        " one; or prepare fewer sets: -p test_sets=..."
        if space.claim
        else "Set stores: to a folder on a volume of that size, or enlarge the artifact store and"
        " artifact_store:."
    )
    raise ConfigError(
        f"the prepared stores of this run take {space}, but {space.where} has only"
        f" {space.capacity} ({space.origin}).",
        hint,
    )


def space_warning(space: StoresSpace | None) -> str | None:
    """What cannot be checked because the size of the place is not known; None if it is."""
    if space is None or space.capacity is not None:
        return None
    if space.claim:
        return (
            f"warning: the size of the claim {space.claim} is not known; its stores take {space}."
            " State it as size: under volumes: in the cluster file"
        )
    if space.total <= _bytes(DEFAULT_ARTIFACT_STORE):
        return None
    return (
        f"warning: the prepared stores take {space}, more than the {DEFAULT_ARTIFACT_STORE} of the"
        " artifact store that Kubeflow Pipelines installs by default. Set stores: in the cluster"
        " file to a folder on a volume, or artifact_store: to the size of a larger artifact store"
    )


def disk_of_pod(space: StoresSpace, arguments: Mapping[str, Any]) -> tuple[int, str, str] | None:
    """The largest disk that a pod needs: its bytes, the dataset, and what is on it.

    That is the store if it is an artifact, and the downloaded data. None if there is neither.
    """
    stores = {} if space.claim else dict(space.sizes)
    loaded = (
        {} if is_folder(arguments["data_source"]) else {n: prepared_bytes(n) for n in space.sizes}
    )
    disks = {name: stores.get(name, 0) + loaded.get(name, 0) for name in space.sizes}
    name = max(sorted(disks), key=lambda each: disks[each])
    if not disks[name]:
        return None
    parts = ["the store"] if stores else []
    parts += ["its photographs from the data source, which rarely take more"] if loaded else []
    return disks[name], name, ", and ".join(parts)


def exceeds(space: StoresSpace) -> bool:
    """Whether the stores do not fit into their place; False if its size is not known."""
    return _fits(space) is False


def _fits(space: StoresSpace) -> bool | None:
    return None if space.capacity is None else space.total <= _bytes(space.capacity)


def _bytes(quantity: str) -> int:
    from kubernetes.utils.quantity import parse_quantity

    return int(parse_quantity(quantity))


def _prepared_sets(arguments: Mapping[str, Any], found: Sequence[PlannedTraining]) -> Iterator[str]:
    """The datasets that a run prepares if its data source has them; some more than once."""
    if any(each.step == "train" for each in found):
        for network in arguments.get("networks", [arguments]):
            yield network["training_set"]
    if any(each.step == "train-ablation" for each in found):
        yield TRAINING_SETS[ABLATION_TASK]
    yield from arguments.get("test_sets", ())
    if arguments.get("ablations"):
        yield ABLATION_SET
