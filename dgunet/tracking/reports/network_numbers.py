"""Numeric settings of a network, for the charts of MLflow."""

from __future__ import annotations

from typing import Any

from dgunet import network


def numeric_params(config: network.DGUNetConfig, model: network.DGUNet) -> dict[str, Any]:
    """The settings that the ablations vary, as numbers for the axes of MLflow's charts."""
    return {
        "stages": config.stages,
        "scales": 0 if config.fusion == "none" else config.fusion_scales,
        "parameters": sum(p.numel() for p in model.parameters()),
    }
