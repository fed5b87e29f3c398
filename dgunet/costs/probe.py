"""The rate of this machine, measured with a real network on a small image."""

from __future__ import annotations

import math
import os
import platform
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from dgunet.costs.machines import Machine, Probe
from dgunet.costs.timing import time_largest
from dgunet.evaluation.memory import free_bytes
from dgunet.network import DGUNet, DGUNetConfig, preset
from dgunet.network.devices import pick_device, thread_count
from dgunet.network.size import count_operations
from dgunet.system.errors import ConfigError

Observe = Callable[[float, float], None]
"""Called with (seconds so far, seconds at most) after each pass."""

SIDES = (32, 64, 128, 256, 512)
"""Sides of the probe's image in pixels; it has the largest of which several passes fit the time."""

MOST = 50
"""Most passes that are timed; more would not change the median."""


def probe_machine(
    seconds: float = 30.0,
    *,
    config: DGUNetConfig | None = None,
    device: str = "auto",
    threads: int = 0,
    observe: Observe | None = None,
) -> Machine:
    """Measure the FLOP/s that this machine sustains in the forward pass of a network.

    Passes run on images of 32 pixels, then of larger ones as far as the time allows; the median
    over the largest gives the rate. Other work on the machine slows the passes as it would slow the
    run itself; the load average is recorded. The arithmetic is that of an evaluation: float32, on
    a GPU with TF32 where torch is set so.

    Args:
        seconds: most seconds that the probe may take; two passes on the smallest image always run.
        config: the network; DGUNet for deraining by default.
        device: "auto", "cpu" or "cuda".
        threads: CPU threads; 0 means as many as torch chooses and this process may use.
        observe: receives the progress.

    Raises:
        ConfigError: if ``seconds`` is not positive, or the device is unknown.
        DgunetError: if ``cuda`` is requested and there is no GPU.
    """
    if not 0 < seconds < math.inf:
        raise ConfigError(f"a probe of {seconds} seconds.", "Give a positive number of seconds.")
    begin, load = time.perf_counter(), _load()
    where = torch.device(pick_device(device))
    config = config or preset("derain")
    with thread_count(threads), torch.inference_mode():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = DGUNet(config).eval().to(where)
        side, times = _Timer(network, where, begin, seconds, observe).measure()
        used = torch.get_num_threads()
    median = statistics.median(times)
    probe = Probe(
        device=where.type,
        threads=used,
        load=load,
        side=side,
        passes=len(times),
        spread=(max(times) - min(times)) / median,
        seconds=time.perf_counter() - begin,
    )
    rate = count_operations(config, side, side) / median
    return Machine(_name(where), rate, free_bytes(where), _summary(probe, rate), probe)


@dataclass(frozen=True)
class _Timer:
    """Timed passes of one network within ``seconds`` from ``begin``."""

    network: DGUNet
    device: torch.device
    begin: float
    seconds: float
    observe: Observe | None

    def measure(self) -> tuple[int, list[float]]:
        """Return the side of the largest image that was timed, and the seconds of its passes."""
        multiple = self.network.config.multiple
        sides = sorted({max(side, multiple) for side in SIDES})
        return time_largest(
            sides, self._passes, self._left, work=lambda side: side * side, most=MOST
        )

    def _passes(self, side: int) -> Callable[[], float]:
        image = _pattern(self.network.config.channels, side).to(self.device)
        return lambda: self._pass(image)

    def _left(self) -> float:
        return self.begin + self.seconds - time.perf_counter()

    def _pass(self, image: Tensor) -> float:
        start = time.perf_counter()
        self.network(image)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        took = time.perf_counter() - start
        if self.observe is not None:
            self.observe(min(self.seconds, self.seconds - self._left()), self.seconds)
        return took


def _pattern(channels: int, side: int) -> Tensor:
    """A deterministic image (1, C, side, side) with values in [0, 1] and detail everywhere."""
    values = torch.arange(channels * side * side, dtype=torch.float32)
    return (0.5 + 0.5 * torch.sin(values * 0.7)).view(1, channels, side, side)


def _load() -> float | None:
    with suppress(OSError, AttributeError):  # not available on Windows
        return os.getloadavg()[0]
    return None


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"this machine ({platform.machine()}, CPU)"


def _summary(probe: Probe, rate: float) -> str:
    threads = "" if probe.device == "cuda" else f", threads: {probe.threads}"
    load = "" if probe.load is None else f", load average {probe.load:.1f}"
    return (
        f"{rate / 1e12:.3g} TFLOP/s float32, the median of {probe.passes} passes on"
        f" {probe.side}x{probe.side} pixels (spread {probe.spread:.0%}{threads}{load})"
    )
