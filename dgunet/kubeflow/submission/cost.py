"""The cost of the trainings of a pipeline run, computed from their networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dgunet.config import Params
from dgunet.costs.training_cost import TrainingCost, training_cost
from dgunet.kubeflow.pipeline.weights_origin import is_released
from dgunet.network import preset
from dgunet.project import model_key
from dgunet.terms import ABLATION_TASK, ABLATION_VARIANT, ablation


@dataclass(frozen=True)
class PlannedTraining:
    """One training of a pipeline run."""

    name: str
    step: str
    """The pipeline's step: train or train-ablation."""
    cost: TrainingCost


def trainings(arguments: Mapping[str, Any], params: Params) -> list[PlannedTraining]:
    """All trainings of a run with these arguments; none where weights are given or fetched."""
    if is_released(arguments):
        return []
    found = [_network(entry, params) for entry in _networks(arguments)]
    for name in arguments.get("ablations", ()):
        changed: dict[str, Any] = dict(params.active.network) | dict(ablation(name).changes)
        config = preset(
            ABLATION_TASK, ABLATION_VARIANT, architecture=params.architecture, **changed
        )
        cost = training_cost(config, params.active.ablate)
        found.append(PlannedTraining(name, "train-ablation", cost))
    return found


def _networks(arguments: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if "networks" in arguments:
        return list(arguments["networks"])
    if "training_set" in arguments:
        task, variant = arguments.get("task", "derain"), arguments.get("variant", "DGUNet")
        return [{"kind": task, "variant": variant, "ratio": arguments.get("ratio", 0)}]
    return []


def _network(entry: Mapping[str, Any], params: Params) -> PlannedTraining:
    task, variant, ratio = entry["kind"], entry["variant"], entry["ratio"] or None
    changes: dict[str, Any] = dict(params.active.network)
    config = preset(task, variant, architecture=params.architecture, ratio=ratio, **changes)
    name = model_key(task, variant, ratio)
    return PlannedTraining(name, "train", training_cost(config, params.training(task)))
