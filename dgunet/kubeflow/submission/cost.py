"""What the trainings of a pipeline run cost, computed from the networks themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dgunet.config import Params, TrainParams
from dgunet.network import DGUNetConfig, preset
from dgunet.network.describe import describe_network
from dgunet.project import model_key
from dgunet.recipes.trainings import BACKWARD
from dgunet.terms import ABLATION_TASK, ABLATION_VARIANT, ablation


@dataclass(frozen=True)
class Training:
    """One training of a run."""

    name: str
    step: str
    """The pipeline's step: train or ablate."""
    knobs: TrainParams
    flops: int
    """Floating-point operations, forward and backward, of convolutions and matrix products."""

    def gpu_hours(self, rate: float) -> float:
        """Hours of GPUs that each sustain ``rate`` FLOP/s."""
        return self.flops / rate / 3600


def trainings(arguments: Mapping[str, Any], params: Params) -> list[Training]:
    """Every training that a run with these arguments does; none for given weights."""
    found = [_network(entry, params) for entry in _networks(arguments)]
    for name in arguments.get("ablations", ()):
        changed: dict[str, Any] = dict(params.active.network) | dict(ablation(name).changes)
        config = preset(
            ABLATION_TASK, ABLATION_VARIANT, architecture=params.architecture, **changed
        )
        knobs = params.active.ablate
        found.append(Training(name, "ablate", knobs, _flops(config, knobs)))
    return found


def _networks(arguments: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if "networks" in arguments:
        return list(arguments["networks"])
    if "training_set" in arguments:
        task, variant = arguments.get("task", "derain"), arguments.get("variant", "DGUNet")
        return [{"kind": task, "variant": variant, "ratio": arguments.get("ratio", 0)}]
    return []


def _network(entry: Mapping[str, Any], params: Params) -> Training:
    task, variant, ratio = entry["kind"], entry["variant"], entry["ratio"] or None
    given: dict[str, Any] = dict(params.active.network)
    config = preset(task, variant, architecture=params.architecture, ratio=ratio, **given)
    knobs = params.training(task)
    return Training(model_key(task, variant, ratio), "train", knobs, _flops(config, knobs))


def _flops(config: DGUNetConfig, knobs: TrainParams) -> int:
    """As `dgunet.recipes.trainings.Recipe.flops`; recomputing costs one more forward pass."""
    passes = 1 + BACKWARD + int(knobs.recompute)
    one = describe_network(config, (knobs.patch, knobs.patch)).flops
    return passes * one * knobs.batch * knobs.iterations
