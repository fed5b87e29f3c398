"""The space that the prepared stores of a run take in the artifact store and on the pods' disks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dgunet.config import Params
from dgunet.costs.formats import size
from dgunet.costs.storage import prepared_bytes
from dgunet.kubeflow.submission.cost import PlannedTraining
from dgunet.project import TRAINING_SETS
from dgunet.terms import ABLATION_SET, ABLATION_TASK


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


def space_lines(
    arguments: Mapping[str, Any], found: Sequence[PlannedTraining], params: Params
) -> list[str]:
    """Lines of the plan; the sample's datasets take some megabytes."""
    if params.profile == "sample":
        return []
    sizes = {name: prepared_bytes(name) for name in set(_prepared_sets(arguments, found))}
    names = sorted(sizes, key=lambda name: (-sizes[name], name))
    largest, shown = names[0], ", ".join(f"{name} {size(sizes[name])}" for name in names[:4])
    return [
        "",
        "storage",
        f"  prepared stores in the artifact store: {size(sum(sizes.values()))} ({shown})",
        f"  disk of one pod: up to about {size(2 * sizes[largest])}, for {largest}: the store, and"
        " its photographs from the data source, which rarely take more",
    ]
