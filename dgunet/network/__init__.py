"""The network: DGUNet and DGUNet+ as the authors' code builds them, or as the paper describes."""

from dgunet.network.checkpoint import load_network, save_network
from dgunet.network.config import DGUNetConfig, preset
from dgunet.network.dgunet import DGUNet

__all__ = ["DGUNet", "DGUNetConfig", "load_network", "preset", "save_network"]
