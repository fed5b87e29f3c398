"""The fastest backend on this machine, found by a short probe that is remembered."""

from __future__ import annotations

import logging
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from dgunet.backends.conversion import backend_version, known_backend, missing_packages, on_backend
from dgunet.network import DGUNet
from dgunet.network.devices import processor_name
from dgunet.system import environment
from dgunet.system.errors import DgunetError
from dgunet.system.files import sha256_json, write_json
from dgunet.system.machine_limits import processors
from dgunet.system.reading import read_mapping
from dgunet.terms import BACKENDS, EAGER

logger = logging.getLogger(__name__)

LEFT_OUT = ("compile",)
"""Backends that the probe does not try: compiling takes minutes, for another size again."""

_SIDE = 128
_ROUNDS = 3
# A smaller gain is within the noise of a shared machine and not worth a conversion.
_GAIN = 1.1
_TOLERANCE = 2e-5

Tell = Callable[[str], None]


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
    note = _note(network, candidates)
    if (known := _remembered(note)) is not None:
        tell(f"backend {known}: the fastest here in an earlier probe ({note})")
        return known
    tell(f"probing the backends {', '.join([EAGER, *candidates])} once for this machine")
    with torch.inference_mode():
        gains = {name: _gain(network, name, tell) for name in candidates}
    best = max(gains, key=lambda name: gains[name], default=EAGER)
    chosen = best if gains.get(best, 0.0) >= _GAIN else EAGER
    remembered = _remember(note, chosen, gains)
    tell(f"backend {chosen}" + (f"; remembered in {note}" if remembered else ""))
    return chosen


def _gain(network: DGUNet, backend: str, tell: Tell) -> float:
    """How many times faster than eager a backend is; 0 if it fails or differs."""
    image = torch.rand(1, network.config.channels, _SIDE, _SIDE)
    network.eval()
    try:
        other = on_backend(network, backend)
        expected, made = network(image)[-1], other(image)[-1]
        difference = float((expected - made).abs().max())
        if not difference <= _TOLERANCE:
            tell(f"{backend}: left out, its output differs by {difference:.1e}")
            return 0.0
        gain = statistics.median(
            _seconds(network, image) / _seconds(other, image) for _ in range(_ROUNDS)
        )
    except (DgunetError, RuntimeError, MemoryError, OSError, ImportError) as error:
        tell(f"{backend}: left out, it failed ({error})")
        return 0.0
    tell(f"{backend}: {gain:.2f} times eager")
    return gain


def _seconds(network: DGUNet, image: Tensor) -> float:
    start = time.perf_counter()
    network(image)
    return time.perf_counter() - start


def _note(network: DGUNet, candidates: list[str]) -> Path:
    """The file in the cache that remembers the choice."""
    state = {
        "machine": [processor_name(), platform.machine(), torch.backends.cpu.get_cpu_capability()],
        "cores": processors(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "backends": [backend_version(name) for name in candidates],
        "network": network.config.to_dict(),
    }
    return environment.cache_folder() / "backends" / f"{sha256_json(state)[:16]}.json"


def _remembered(note: Path) -> str | None:
    try:
        content = read_mapping(note)
    except (OSError, DgunetError):
        return None
    chosen = content.get("backend")
    return chosen if chosen in BACKENDS else None


def _remember(note: Path, chosen: str, gains: dict[str, float]) -> bool:
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        write_json(note, {"backend": chosen, "times eager": gains})
    except (OSError, DgunetError):  # the next command probes again
        return False
    return True
