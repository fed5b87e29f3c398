"""The CPU kernels of a network: the fastest of this machine, or ones that give everywhere the same.

torch chooses its kernels by the machine: vector kernels and MKL by the instruction set and the
maker, oneDNN and NNPACK also by the sizes of the caches. They add in different orders, so the last
bits of a training depend on the machine. The portable choice caps the first two at AVX2 and at the
branch of MKL that is the same for all makers, and leaves the other two out. MKL's vector functions
have no such branch, and ``torch.sqrt`` is one of them: the training avoids it (loss, optimiser).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Literal

import torch

from dgunet.system import environment

logger = logging.getLogger(__name__)

KernelChoice = Literal["fastest", "portable"]
"""Allowed values of ``runtime.kernels``."""

CAPS = {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "COMPATIBLE"}
"""Environment variables that torch reads when it computes for the first time."""


@contextmanager
def kernels(choice: KernelChoice) -> Iterator[None]:
    """Run the block with the chosen kernels on a CPU; a GPU computes float32 without TF32.

    torch's default for convolutions on a GPU is TF32, which keeps 10 of float32's 23 bits and which
    the GPUs of the published numbers did not have.

    Portable kernels give the same bits on every x86-64 machine with AVX2, for the same number of
    threads and the same torch. torch reads the caps once: they stay after the block, and a process
    that has computed before keeps those that it had, which the log says.
    """
    with ExitStack() as caps:
        caps.enter_context(tf32(on=False))
        if choice == "fastest":
            yield
            return
        for name, value in CAPS.items():
            caps.enter_context(environment.with_value(name, value))
        _tell_if_late()
        with _without_onednn(), torch.backends.nnpack.flags(enabled=False):
            yield


def _tell_if_late() -> None:
    if (found := torch.backends.cpu.get_cpu_capability()) != "AVX2":
        logger.warning(
            "the portable kernels need AVX2, set before the first computation; this process has %s:"
            " the last digits of its numbers may differ from those of another machine",
            found,
        )


@contextmanager
def tf32(*, on: bool) -> Iterator[None]:
    """Run the block with or without TF32 in a GPU's float32 convolutions."""
    # Not by fp32_precision, beside which torch.compile cannot read the older setting.
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = on
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


@contextmanager
def _without_onednn() -> Iterator[None]:
    before = torch.backends.mkldnn.enabled
    # Not by flags(), which also sets TF32 and warns of it.
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before
