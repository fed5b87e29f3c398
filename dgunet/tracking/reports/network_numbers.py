"""Numeric properties of a network, for MLflow's charts."""

from __future__ import annotations

from typing import Any

from dgunet import network


def numeric_params(config: network.DGUNetConfig, model: network.DGUNet) -> dict[str, Any]:
    """Numbers of stages, scales (0 without fusion) and parameters, as axes of MLflow's charts."""
    return {
        "stages": config.stages,
        "scales": 0 if config.fusion == "none" else config.fusion_scales,
        "parameters": sum(p.numel() for p in model.parameters()),
    }
