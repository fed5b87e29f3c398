"""Metrics of the machine's load, under the names of MLflow's system metrics."""

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
"""Seconds until the first sample; shorter runs record none."""


class MetricsLog(Protocol):
    """Receiver of the samples."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record metrics at ``step``."""


@contextmanager
def sampling_machine(run: MetricsLog) -> Iterator[None]:
    """Within the block, sample the load of the machine after 5 s, then every 10 s.

    MLflow's environment variables apply: ``MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING=false`` turns
    sampling off, ``MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL`` sets the interval in seconds.
    """
    if not environment.SYSTEM_METRICS.get():
        yield
        return
    every = _seconds()
    stop = threading.Event()
    sampler = threading.Thread(target=_sample_until, args=(run, every, stop), daemon=True)
    sampler.start()
    try:
        yield
    finally:
        stop.set()
        sampler.join()


def _sample_until(run: MetricsLog, every: float, stop: threading.Event) -> None:
    me = psutil.Process()
    psutil.cpu_percent()  # the first call starts the measurement
    network = psutil.net_io_counters()
    step, wait = 0, min(FIRST_SECONDS, every)
    while not stop.wait(wait):
        values = sample_load(me)
        now = psutil.net_io_counters()
        if network and now:  # a container may have none
            values["network_receive_megabytes"] = (now.bytes_recv - network.bytes_recv) / MEGABYTE
            values["network_transmit_megabytes"] = (now.bytes_sent - network.bytes_sent) / MEGABYTE
        run.log_metrics({f"system/{key}": value for key, value in values.items()}, step=step)
        step, wait = step + 1, every


def sample_load(me: psutil.Process) -> dict[str, float]:
    """Load of processor, memory, disk and the GPUs that torch uses, in percent and megabytes."""
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
    """Memory of each GPU, and its load if NVIDIA's ``pynvml`` is installed."""
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
    """The seconds between two samples.

    Raises:
        ConfigError: if the variable is not a number of seconds in the allowed range.
    """
    text = environment.SYSTEM_METRICS_INTERVAL.get()
    try:
        every = float(text)
    except ValueError:
        every = math.nan
    if not 0.01 <= every <= 86_400:
        name = environment.SYSTEM_METRICS_INTERVAL.name
        raise ConfigError(
            f"{name}={shorten(text)} is not a valid interval.", "Give seconds from 0.01 to 86,400."
        )
    return every
