"""OpenCV without the parts whose results depend on the maker and the kind of the CPU.

Every module of this package takes ``cv2`` from here: OpenCV reads once, when it is loaded, which
instruction sets it may use.
"""

from __future__ import annotations

import logging
from contextlib import nullcontext

from dgunet.system import environment
from dgunet.system.processor import processor_entry

__all__ = ["cv2", "leave_out_ipp"]

AVX512 = "AVX512-SKX"
"""OpenCV's name of `_AVX512_FLAGS`."""

AVX512_ON = f"*{AVX512}"
"""The word in OpenCV's list of features if it uses them; one left out has a question mark."""

_AVX512_FLAGS = {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}


def _has_avx512() -> bool:
    """Whether the CPU has what OpenCV calls `AVX512`; it warns of instructions to leave out that
    the CPU does not have."""
    return set(processor_entry("flags").split()) >= _AVX512_FLAGS


# Sums over pixels then have the same order on every CPU with AVX2.
with environment.with_item("OPENCV_CPU_DISABLE", AVX512) if _has_avx512() else nullcontext():
    import cv2

if AVX512_ON in cv2.getCPUFeaturesLine().split():
    logging.getLogger(__name__).warning(
        "cv2 was imported before dgunet, with AVX-512: the last digits of some scores may differ"
        " from those of another machine"
    )


def leave_out_ipp() -> None:
    """Leave Intel's IPP out of OpenCV in this thread.

    IPP has own kernels for each kind of CPU, whose sums differ in the last bits; OpenCV's own take
    the same time here and agree wherever AVX2 is available. OpenCV keeps this choice by thread.
    """
    cv2.ipp.setUseIPP(False)
