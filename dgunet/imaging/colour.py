"""The two luma conversions behind the published tables; the PSNR differs by more than 1 dB."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dgunet.imaging.arrays import Array, require_uint8
from dgunet.imaging.opencv import cv2

STUDIO_SWING = np.array([[65.481, 128.553, 24.966]]) / 255.0
"""Weights of R, G and B in the studio-swing Y of BT.601, to which 16 is added; (1, 3)."""
_STRIP_ROWS = 64


def matlab_luma(image: Array) -> NDArray[np.uint8]:
    """Y of MATLAB's ``rgb2ycbcr`` for uint8: studio-swing BT.601, rounded half up to uint8.

    ``Y = floor(16 + (65.481 R + 128.553 G + 24.966 B) / 255 + 1/2)``, exact for all 256^3
    colours. Not compared with MATLAB itself; 194 of the colours are exactly at a half.

    Args:
        image: uint8 RGB, shape (H, W, 3).

    Returns:
        uint8, shape (H, W), values 16 to 235.

    Raises:
        EvaluationError: for any other type or number of channels.
    """
    require_uint8("colour", image, 3)
    luma = np.empty(image.shape[:2], np.uint8)
    for row in range(0, image.shape[0], _STRIP_ROWS):
        strip = slice(row, row + _STRIP_ROWS)
        exact = cv2.transform(image[strip].astype(np.float64), STUDIO_SWING)
        # Exact values are 1/255000 apart, so 1e-9 only undoes rounding just below a half.
        luma[strip] = exact.reshape(luma[strip].shape) + (16.5 + 1e-9)
    return luma


def opencv_luma(image: Array) -> NDArray[np.uint8]:
    """Y of OpenCV's ``YCrCb`` for uint8: full range, rounded; a grey image is unchanged.

    Args:
        image: uint8 RGB, shape (H, W, 3), or grey, shape (H, W, 1).

    Returns:
        uint8, shape (H, W, 1), values 0 to 255.

    Raises:
        EvaluationError: for any other type or number of channels.
    """
    if image.ndim == 3 and image.shape[2] == 1:
        require_uint8("grey", image, 1)
        return np.asarray(image)
    require_uint8("colour", image, 3)
    converted = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2YCrCb)
    return np.asarray(np.ascontiguousarray(converted[..., :1]), np.uint8)
