"""The fastest backend on this machine, found by a short probe that is remembered."""

from __future__ import annotations

import logging
import time

import torch
from torch import Tensor

from dgunet.backends.conversion import backend_version, known_backend, missing_packages, on_backend
from dgunet.network import DGUNet
from dgunet.network.probe import DiffersError, Tell, fastest, times_faster
from dgunet.terms import BACKENDS, EAGER

logger = logging.getLogger(__name__)

LEFT_OUT = ("compile",)
"""Backends that the probe does not try: compiling takes minutes, for another size again."""

_SIDE = 128
_TOLERANCE = 2e-5


def resolve_backend(network: DGUNet, wanted: str, tell: Tell = logger.info) -> str:
    """Return the backend ``wanted``, or for "auto" that of `choose_backend`.

    Raises:
        ConfigError: if there is no such backend or its packages are not installed.
    """
    return choose_backend(network, tell) if wanted == "auto" else known_backend(wanted)


def choose_backend(network: DGUNet, tell: Tell = logger.info) -> str:
    """Return the backend that restores an image of 128x128 fastest; "eager" if none is faster.

    Each installed backend converts the network, is compared with eager (output to 2e-5), and then
    timed in turn with it. A backend that fails or differs is left out. The choice is remembered
    for this machine, these versions, number of threads and kind of network. On a GPU, and for a
    network that is not in float32, it is "eager" without a probe.

    Args:
        network: the network.
        tell: called with one line about each backend and the choice.
    """
    kind = next(network.parameters())
    if kind.device.type != "cpu" or kind.dtype != torch.float32:
        return EAGER
    candidates: list[str] = [
        name for name in BACKENDS if name not in (EAGER, *LEFT_OUT) and not missing_packages(name)
    ]
    state = {
        "backends": [backend_version(name) for name in candidates],
        "network": network.config.to_dict(),
    }
    with torch.inference_mode():
        return fastest(
            "backend", EAGER, candidates, lambda name: _gain(network, name), state=state, tell=tell
        )


def _gain(network: DGUNet, backend: str) -> float:
    """How many times faster than eager a backend is.

    Raises:
        DiffersError: if its output differs.
    """
    image = torch.rand(1, network.config.channels, _SIDE, _SIDE)
    network.eval()
    other = on_backend(network, backend)
    difference = float((network(image)[-1] - other(image)[-1]).abs().max())
    if not difference <= _TOLERANCE:
        raise DiffersError(f"its output differs by {difference:.1e}")
    return times_faster(lambda: _seconds(network, image), lambda: _seconds(other, image))


def _seconds(network: DGUNet, image: Tensor) -> float:
    start = time.perf_counter()
    network(image)
    return time.perf_counter() - start
