"""What a run writes: prepared stores, weights, checkpoints and results, in bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dgunet.config import parse_params
from dgunet.costs.formats import size
from dgunet.costs.storage import checkpoint_bytes, results_bytes, unfinished_bytes
from dgunet.kubeflow.cluster.settings import Cluster
from dgunet.kubeflow.submission.cost import evaluations, trainings
from dgunet.kubeflow.submission.space import (
    StoresSpace,
    disk_of_pod,
    exceeds,
    space_warning,
    stores_space,
)

KEPT = 3
"""Checkpoints that a training keeps, see `dgunet.training.checkpoints.Checkpoints`."""


@dataclass(frozen=True)
class RunStorage:
    """The disk that a run needs; all sizes in bytes.

    Attributes:
        stores: the prepared stores and their place; None for the sample, which takes megabytes.
        weights: files of the trained networks.
        checkpoints: of all trainings, if they are all unfinished at the same time.
        results: of all evaluations.
        unfinished: restored images of the evaluation that has most, until it is complete.
        pod: disk of the pod that needs most, and its dataset; None if none needs much.
    """

    stores: StoresSpace | None
    weights: int
    checkpoints: int
    results: int
    unfinished: int
    pod: tuple[int, str, str] | None

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence if the stores do not fit into their place, or its size is not known."""
        if self.stores is None:
            return ()
        if exceeds(self.stores):
            space = self.stores
            return (f"{space.where} has only {space.capacity} ({space.origin})",)
        warning = space_warning(self.stores)
        return (warning.removeprefix("warning: "),) if warning else ()

    def lines(self) -> list[str]:
        """Return the lines of the plan; none for the sample."""
        if self.stores is None:
            return []
        lines = ["", "storage", f"  prepared stores in {self.stores.where}: {self.stores}"]
        if self.pod:
            count, name, parts = self.pod
            lines.append(f"  disk of one pod: up to about {size(count)}, for {name}: {parts}")
        lines.append(
            f"  weights {size(self.weights)}, training checkpoints up to {size(self.checkpoints)},"
            f" results about {size(self.results)}"
        )
        if self.unfinished:
            lines.append(f"  images of an unfinished evaluation up to {size(self.unfinished)}")
        return lines

    def content(self) -> dict[str, Any]:
        """Return the sizes as a JSON object."""
        stores = self.stores
        return {
            "stores": dict(stores.sizes) if stores else {},
            "stores_bytes": stores.total if stores else 0,
            "stores_place": stores.where if stores else None,
            "stores_capacity": stores.capacity if stores else None,
            "pod_bytes": self.pod[0] if self.pod else 0,
            "weights_bytes": self.weights,
            "checkpoints_bytes": self.checkpoints,
            "results_bytes": self.results,
            "unfinished_bytes": self.unfinished,
        }


def run_storage(cluster: Cluster, arguments: Mapping[str, Any]) -> RunStorage:
    """Estimate what a run with these arguments writes; without network access."""
    params = parse_params(arguments["params"])
    trained = [each.cost.config for each in trainings(arguments, params)]
    tested = [each.cost.dataset for each in evaluations(arguments, params)]
    keep = params.active.evaluate.keep_images
    space = stores_space(cluster, arguments)
    return RunStorage(
        stores=space,
        weights=sum(checkpoint_bytes(config) for config in trained),
        checkpoints=KEPT * sum(checkpoint_bytes(config, training=True) for config in trained),
        results=sum(results_bytes(name, keep_images=keep) for name in tested),
        unfinished=max((unfinished_bytes(name, keep_images=keep) for name in tested), default=0),
        pod=disk_of_pod(space, arguments) if space else None,
    )
