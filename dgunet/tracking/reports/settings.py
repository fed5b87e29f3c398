"""Parameters of a run that people read and compare; `all_settings` has the others."""

from __future__ import annotations

from typing import Any

from dgunet import network
from dgunet.training.preparation import TrainingInputs, flat

_SHOWN_OTHERWISE = ("task", "ratio", "shared", "stages", "fusion_scales")
"""Fields of a network that tags (task, ratio, variant) or `numeric_params` show."""


def numeric_params(config: network.DGUNetConfig, model: network.DGUNet) -> dict[str, Any]:
    """Numbers of stages, scales (0 without fusion) and parameters, as axes of MLflow's charts."""
    return {
        "stages": config.stages,
        "scales": 0 if config.fusion == "none" else config.fusion_scales,
        "parameters": sum(p.numel() for p in model.parameters()),
    }


def training_params(inputs: TrainingInputs, model: network.DGUNet) -> dict[str, Any]:
    """The settings of a training: required ones, and those that differ from the usual value.

    The usual value of a training setting is its default; that of a network's field is the one of
    the authors' network for the task and variant. ``train.fast`` names what it has turned on.
    """
    settings = inputs.settings.model_dump(exclude_defaults=True)
    settings |= {"fast": inputs.fast} if inputs.fast else {}
    return (
        numeric_params(inputs.network, model)
        | {"seed": inputs.seed}
        | flat({"train": settings, "network": _unusual(inputs.network)})
    )


def all_settings(inputs: TrainingInputs) -> dict[str, Any]:
    """Every setting of a training, for the file ``settings.json``."""
    return {
        "seed": inputs.seed,
        "train": inputs.settings.model_dump(mode="json"),
        "network": inputs.network.to_dict(),
        "runtime": inputs.runtime.model_dump(mode="json"),
    }


def _unusual(config: network.DGUNetConfig) -> dict[str, Any]:
    usual = network.preset(config.task, config.variant, ratio=config.ratio).to_dict()
    return {
        name: value
        for name, value in config.to_dict().items()
        if name not in _SHOWN_OTHERWISE and value != usual[name]
    }
