"""The networks DGUNet and DGUNet+, as built by the authors' code or as described in the paper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dgunet.network.config import DGUNetConfig, preset

if TYPE_CHECKING:
    from dgunet.network.checkpoint import load_network, save_network
    from dgunet.network.dgunet import DGUNet

__all__ = ["DGUNet", "DGUNetConfig", "load_network", "preset", "save_network"]


# Importing any module of this package runs this file. Names that need torch are therefore imported
# on first use: params.yaml is checked against `dgunet.network.config` without loading torch.
def __getattr__(name: str) -> Any:
    if name == "DGUNet":
        from dgunet.network.dgunet import DGUNet

        return DGUNet
    if name in ("load_network", "save_network"):
        from dgunet.network.checkpoint import load_network, save_network

        return load_network if name == "load_network" else save_network
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
