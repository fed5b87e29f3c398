"""Tiny networks for the tests."""

from __future__ import annotations

from typing import Any

import torch

from dgunet.network import DGUNet, preset

TINY: dict[str, Any] = {
    "n_feat": 8,
    "scale": 4,
    "last_width": 4,
    "gradient_width": 4,
    "stages": 3,
}


def tiny(task: str = "derain", variant: str = "DGUNet", **changes: Any) -> DGUNet:
    """A small network with reproducible weights, in evaluation mode."""
    if task == "cs":
        changes.setdefault("ratio", 10)
    torch.manual_seed(0)
    return DGUNet(preset(task, variant, **(TINY | changes))).eval()


FAMILY = [
    (task, variant, architecture)
    for task in ("derain", "cs")
    for variant in ("DGUNet", "DGUNet+")
    for architecture in ("released", "paper")
]
