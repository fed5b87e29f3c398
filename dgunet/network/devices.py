"""The device a network runs on, and the number of CPU threads."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from dgunet.system.errors import ConfigError, DgunetError
from dgunet.system.machine_limits import processors
from dgunet.system.processor import processor_entry
from dgunet.system.reading import shorten

DEVICES = ("auto", "cpu", "cuda")
"""Allowed values of every device option and of ``runtime.device``."""


def pick_device(wanted: str) -> str:
    """Resolve ``auto`` to ``cuda`` if torch finds a GPU, else to ``cpu``.

    Raises:
        ConfigError: for a name that is not in `DEVICES`.
        DgunetError: if ``cuda`` is requested and there is no GPU.
    """
    if wanted not in DEVICES:
        raise ConfigError(
            f"device {shorten(wanted)} is unknown.",
            f"Use one of {', '.join(DEVICES)}; select a GPU with CUDA_VISIBLE_DEVICES.",
        )
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise DgunetError(
            "device is 'cuda', but torch finds no GPU.",
            "Use auto or cpu (in params.yaml: runtime.device).",
        )
    return "cuda" if available and wanted in ("auto", "cuda") else "cpu"


def processor_name() -> str:
    """Return the model of the CPU as Linux names it, elsewhere what Python knows of it."""
    return processor_entry("model name") or platform.processor() or platform.machine()


@contextmanager
def thread_count(threads: int) -> Iterator[None]:
    """Run the block with ``threads`` CPU threads, then restore the previous number.

    With 0 the number is unchanged, unless this process may use fewer processors: torch does not see
    the time quota of a container. Sums are split over threads, so the last bits of a result depend
    on the number of threads.
    """
    before = torch.get_num_threads()
    wanted = threads or min(before, processors())
    if wanted != before:
        torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)
