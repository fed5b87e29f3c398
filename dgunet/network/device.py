"""The device and the CPU threads that a network runs on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from dgunet.system.errors import ConfigError, DgunetError
from dgunet.system.reading import shorten

DEVICES = ("auto", "cpu", "cuda")
"""Values of every device option and setting."""


def pick_device(requested: str) -> str:
    """``cpu`` or ``cuda``; ``auto`` is the GPU if there is one.

    Raises:
        DgunetError: for a name not in `DEVICES`, or if a GPU is requested and torch sees none.
    """
    if requested not in DEVICES:
        raise ConfigError(
            f"device {shorten(requested)} is unknown.",
            f"Use one of {', '.join(DEVICES)}; CUDA_VISIBLE_DEVICES selects the GPU.",
        )
    available = torch.cuda.is_available()
    if requested == "cuda" and not available:
        raise DgunetError(
            "device is 'cuda', but torch sees no GPU here.",
            "Use auto or cpu (in params.yaml: runtime.device).",
        )
    return "cuda" if available and requested in ("auto", "cuda") else "cpu"


@contextmanager
def thread_count(threads: int) -> Iterator[None]:
    """Run the block with ``threads`` CPU threads (0: unchanged), then restore their number.

    Sums are split over the threads, so the last bits of a result depend on their number.
    """
    before = torch.get_num_threads()
    if threads:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
