"""The network: DGUNet and DGUNet+ as the authors' code builds them, or as the paper describes.

What needs torch is imported when it is first asked for: settings are checked without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from dgunet.network.config import DGUNetConfig, preset

if TYPE_CHECKING:
    from dgunet.network.checkpoint import load_network, save_network
    from dgunet.network.dgunet import DGUNet

__all__ = ["DGUNet", "DGUNetConfig", "load_network", "preset", "save_network"]

_HOMES = {"DGUNet": "dgunet", "load_network": "checkpoint", "save_network": "checkpoint"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
