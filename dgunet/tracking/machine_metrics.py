"""The machine's load beside a run's own numbers, under the names of MLflow's system metrics."""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import psutil  # type: ignore[import-untyped]

from dgunet.system import environment
from dgunet.system.errors import ConfigError
from dgunet.system.reading import shorten

MEGABYTE = 1e6
FIRST_SECONDS = 5.0
"""A stage shorter than this has no load worth a chart."""


class Listener(Protocol):
    """What the samples go to."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record numbers."""


@contextmanager
def watching(run: Listener) -> Iterator[None]:
    """Within the block, sample the machine: after 5 s, then every 10 s.

    MLflow's own switches hold: ``MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING=false`` turns it off,
    ``MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL`` sets the seconds.
    """
    if not environment.SYSTEM_METRICS.get():
        yield
        return
    every = _seconds()
    stop = threading.Event()
    watcher = threading.Thread(target=_watch, args=(run, every, stop), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


def _watch(run: Listener, every: float, stop: threading.Event) -> None:
    me = psutil.Process()
    psutil.cpu_percent()  # the first call only starts the clock
    network = psutil.net_io_counters()
    step, wait = 0, min(FIRST_SECONDS, every)
    while not stop.wait(wait):
        values = sample(me)
        now = psutil.net_io_counters()
        if network and now:  # a container may have none
            values["network_receive_megabytes"] = (now.bytes_recv - network.bytes_recv) / MEGABYTE
            values["network_transmit_megabytes"] = (now.bytes_sent - network.bytes_sent) / MEGABYTE
        run.log_metrics({f"system/{key}": value for key, value in values.items()}, step=step)
        step, wait = step + 1, every


def sample(me: psutil.Process) -> dict[str, float]:
    """Load of processor, memory, disk and, where torch uses them, GPUs; percent and megabytes."""
    memory, disk = psutil.virtual_memory(), psutil.disk_usage(os.curdir)
    return {
        "cpu_utilization_percentage": psutil.cpu_percent(),
        "system_memory_usage_megabytes": memory.used / MEGABYTE,
        "system_memory_usage_percentage": memory.percent,
        "process_memory_usage_megabytes": me.memory_info().rss / MEGABYTE,
        "disk_usage_megabytes": disk.used / MEGABYTE,
        "disk_usage_percentage": disk.percent,
        "disk_available_megabytes": disk.free / MEGABYTE,
    } | _gpus()


def _gpus() -> dict[str, float]:
    """Memory of each GPU; its load too, where NVIDIA's ``pynvml`` is installed."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {}
    values: dict[str, float] = {}
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        values[f"gpu_{index}_memory_usage_megabytes"] = (total - free) / MEGABYTE
        values[f"gpu_{index}_memory_usage_percentage"] = 100 * (total - free) / total
        try:
            values[f"gpu_{index}_utilization_percentage"] = torch.cuda.utilization(index)
        except (ImportError, RuntimeError):  # without pynvml
            continue
    return values


def _seconds() -> float:
    """The time between two samples.

    Raises:
        ConfigError: if the environment says no number of seconds, or too few or too many.
    """
    text = environment.SYSTEM_METRICS_INTERVAL.get()
    try:
        every = float(text)
    except ValueError:
        every = math.nan
    if not 0.01 <= every <= 86_400:
        name = environment.SYSTEM_METRICS_INTERVAL.name
        raise ConfigError(f"{name}={shorten(text)}.", "Give seconds, from 0.01 to 86,400.")
    return every
