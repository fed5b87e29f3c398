"""The trainings and evaluations of a pipeline run, with their cost by network and images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from dgunet.config import Params
from dgunet.costs.evaluation_cost import EvaluationCost, evaluation_cost
from dgunet.costs.training_cost import TrainingCost, training_cost
from dgunet.data.catalogue.entries import dataset
from dgunet.kubeflow.pipeline.weights_origin import is_released
from dgunet.network import DGUNetConfig, preset
from dgunet.project import model_key
from dgunet.terms import ABLATION_SET, ABLATION_TASK, ABLATION_VARIANT, Task, Variant, ablation


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
        changes = dict(ablation(name).changes)
        config = _config(
            params, ABLATION_TASK, ABLATION_VARIANT, None, trained=True, changes=changes
        )
        cost = training_cost(config, params.active.ablate)
        found.append(PlannedTraining(name, "train-ablation", cost))
    return found


@dataclass(frozen=True)
class PlannedEvaluation:
    """One evaluation of a pipeline run."""

    name: str
    step: str
    """The pipeline's step: evaluate or evaluate-ablation."""
    cost: EvaluationCost


def evaluations(arguments: Mapping[str, Any], params: Params) -> list[PlannedEvaluation]:
    """All evaluations of a run with these arguments, of the benchmark's images.

    A test set that the data source lacks will be skipped. None in the profile sample, whose images
    are small.
    """
    if params.profile == "sample":
        return []
    trained = bool(trainings(arguments, params))
    found = []
    for entry in _evaluated(arguments):
        task, variant, ratio = entry["kind"], entry["variant"], entry["ratio"] or None
        config = _config(params, task, variant, ratio, trained=trained)
        key = model_key(task, variant, ratio)
        for name in arguments.get("test_sets", ()):
            if dataset(name).task == task:
                cost = evaluation_cost(name, config)
                found.append(PlannedEvaluation(f"{name} {key}", "evaluate", cost))
    for name in arguments.get("ablations", ()):
        changes = dict(ablation(name).changes)
        config = _config(
            params, ABLATION_TASK, ABLATION_VARIANT, None, trained=trained, changes=changes
        )
        cost = evaluation_cost(ABLATION_SET, config)
        found.append(PlannedEvaluation(f"{ABLATION_SET} {name}", "evaluate-ablation", cost))
    return found


def _evaluated(arguments: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The networks that a run evaluates on its test sets."""
    if "networks" in arguments or "test_sets" not in arguments:
        return _networks(arguments)
    return [_single(arguments)]


def _config(
    params: Params,
    task: Task,
    variant: Variant,
    ratio: int | None,
    *,
    trained: bool,
    changes: Mapping[str, Any] = MappingProxyType({}),
) -> DGUNetConfig:
    """A network that a run makes, with the profile's changes if it is trained there."""
    changed: dict[str, Any] = dict(params.active.network) if trained else {}
    changed.update(changes)
    return preset(task, variant, architecture=params.architecture, ratio=ratio, **changed)


def _networks(arguments: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if "networks" in arguments:
        return list(arguments["networks"])
    if "training_set" in arguments:
        return [_single(arguments)]
    return []


def _single(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    task, variant = arguments.get("task", "derain"), arguments.get("variant", "DGUNet")
    return {"kind": task, "variant": variant, "ratio": arguments.get("ratio", 0)}


def _network(entry: Mapping[str, Any], params: Params) -> PlannedTraining:
    task, variant, ratio = entry["kind"], entry["variant"], entry["ratio"] or None
    config = _config(params, task, variant, ratio, trained=True)
    name = model_key(task, variant, ratio)
    return PlannedTraining(name, "train", training_cost(config, params.training(task)))
