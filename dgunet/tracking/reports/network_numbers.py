"""A network in numbers, for the charts of MLflow."""

from __future__ import annotations

from typing import Any

from dgunet import network


def numeric_params(config: network.DGUNetConfig, model: network.DGUNet) -> dict[str, Any]:
    """What the ablations vary, as numbers that MLflow's charts can put on an axis."""
    return {
        "stages": config.stages,
        "scales": 0 if config.fusion == "none" else config.fusion_scales,
        "parameters": sum(p.numel() for p in model.parameters()),
    }
