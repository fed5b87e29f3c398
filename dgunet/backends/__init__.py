"""Inference on other backends than eager torch: the same network, computed faster on some machines.

The padding, the measurements and the order of the stages stay those of `dgunet.network.DGUNet`;
each stage is converted as a whole, once. Every backend computes in float32 and agrees with a
float64 network to 2e-5, which the tests check.
"""

from dgunet.backends.conversion import backend_version, on_backend
from dgunet.backends.probing import choose_backend, resolve_backend
from dgunet.backends.stages import BackendNetwork, eager_network
from dgunet.terms import BACKENDS

__all__ = [
    "BACKENDS",
    "BackendNetwork",
    "backend_version",
    "choose_backend",
    "eager_network",
    "on_backend",
    "resolve_backend",
]
