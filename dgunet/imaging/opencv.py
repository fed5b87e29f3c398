"""OpenCV without the parts whose results depend on the maker and the kind of the CPU."""

from __future__ import annotations

import cv2


def leave_out_ipp() -> None:
    """Leave Intel's IPP out of OpenCV in this thread.

    IPP has own kernels for each kind of CPU, whose sums differ in the last bits; OpenCV's own take
    the same time here and agree wherever AVX2 is available. OpenCV keeps this choice by thread.
    """
    cv2.ipp.setUseIPP(False)
