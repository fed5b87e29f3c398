"""Peak signal-to-noise ratio (PSNR); the value for identical images depends on the protocol."""

from __future__ import annotations

import math

import numpy as np

from dgunet.imaging.arrays import Array, require_same_size
from dgunet.imaging.opencv import cv2

_STRIP_ROWS = 64


def squared_error(first: Array, second: Array) -> float:
    """Sum of squared differences, exact for uint8, in float64 for floats.

    Raises:
        EvaluationError: when the shapes differ.
    """
    require_same_size(first, second)
    if first.dtype == np.uint8 and second.dtype == np.uint8:
        strips = range(0, first.shape[0], _STRIP_ROWS)
        return float(
            sum(
                cv2.norm(
                    np.ascontiguousarray(first[row : row + _STRIP_ROWS]),
                    np.ascontiguousarray(second[row : row + _STRIP_ROWS]),
                    cv2.NORM_L2SQR,
                )
                for row in strips
            )
        )
    total = []
    for row in range(0, first.shape[0], _STRIP_ROWS):
        strip = slice(row, row + _STRIP_ROWS)
        difference = np.subtract(first[strip], second[strip], dtype=np.float64)
        total.append(float(cv2.norm(difference, cv2.NORM_L2SQR)))
    return math.fsum(total)


def psnr(first: Array, second: Array, peak: float, *, identical: float = math.inf) -> float:
    """``10 log10(peak^2 / mean squared error)`` over all values, in dB.

    Args:
        first: array of any shape.
        second: array of the same shape.
        peak: largest possible value (255 for uint8, 1 for unit floats).
        identical: the value for identical images. The MATLAB functions return infinity; the
            released compressive-sensing code returns 100.
    """
    mean = squared_error(first, second) / first.size
    return identical if mean == 0.0 else 10.0 * math.log10(peak * peak / mean)
