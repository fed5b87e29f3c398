"""Metrics of the machine's load, under the names of MLflow's system metrics."""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import psutil  # type: ignore[import-untyped]

from dgunet.system import environment
from dgunet.system.errors import ConfigError
from dgunet.system.reading import shorten
from dgunet.tracking.journal.writing import now_ms

MEGABYTE = 1e6
FIRST_SECONDS = 30.0
"""Seconds until the first sample, unless an interval is set; shorter runs record none."""


MOST_HELD = 1000
"""Samples that are held; beyond, every second one is dropped."""

Sample = tuple[int, dict[str, float]]
"""Time in milliseconds since 1970, and the load."""


class MetricsLog(Protocol):
    """Receiver of the samples."""

    @property
    def has_metrics(self) -> bool:
        """Whether metrics other than the samples were recorded."""

    def log_metrics(
        self, metrics: Mapping[str, float], step: int | None = None, *, at: int | None = None
    ) -> None:
        """Record metrics at ``step`` that were measured ``at``, in milliseconds since 1970."""


@contextmanager
def sampling_machine(run: MetricsLog) -> Iterator[None]:
    """Within the block, sample the load of the machine after 30 s, then every 10 s.

    The samples are held until the run has metrics of its own, or ends: MLflow's comparison of runs
    draws the metric that was logged first.

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
    wait = every if environment.SYSTEM_METRICS_INTERVAL.is_set() else FIRST_SECONDS
    held: list[Sample] = []
    step = 0
    while not stop.wait(wait):
        held.append((now_ms(), sample_load(me) | _traffic_since(network)))
        if run.has_metrics:
            step = _log(run, held, step)
        elif len(held) > MOST_HELD:
            del held[1::2]
        wait = every
    _log(run, held, step)


def _log(run: MetricsLog, held: list[Sample], step: int) -> int:
    """Record the held samples from ``step`` on; return the next step."""
    for number, (time, values) in enumerate(held, start=step):
        run.log_metrics({f"system/{key}": value for key, value in values.items()}, number, at=time)
    step += len(held)
    held.clear()
    return step


def _traffic_since(before: Any) -> dict[str, float]:
    """Megabytes received and sent since the counters ``before``; {} in a container without any."""
    now = psutil.net_io_counters()
    if not (before and now):
        return {}
    return {
        "network_receive_megabytes": (now.bytes_recv - before.bytes_recv) / MEGABYTE,
        "network_transmit_megabytes": (now.bytes_sent - before.bytes_sent) / MEGABYTE,
    }


def sample_load(me: psutil.Process) -> dict[str, float]:
    """Load of processor, memory, disk and the GPUs that torch uses, in percent and megabytes."""
    return {
        "cpu_utilization_percentage": psutil.cpu_percent(),
        "system_memory_usage_percentage": psutil.virtual_memory().percent,
        "process_memory_usage_megabytes": me.memory_info().rss / MEGABYTE,
        "disk_available_megabytes": psutil.disk_usage(os.curdir).free / MEGABYTE,
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
