"""Checks of the arrays passed to the metrics."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgunet.system.errors import EvaluationError

Array = NDArray[Any]

_CHANNELS = {1: "grey", 2: "grey with alpha", 3: "colour", 4: "colour with alpha"}


def describe(array: Array) -> str:
    """Describe the shape and type of ``array`` for a message."""
    return f"shape {tuple(array.shape)}, {array.dtype}"


def require_uint8(name: str, array: Array, channels: int) -> None:
    """Refuse anything but a uint8 array of shape (H, W, ``channels``).

    Raises:
        EvaluationError: for another type (16 bit, float), another number of channels
            (grey, alpha), or an empty image.
    """
    _require_layout(name, array, channels)
    if array.dtype != np.uint8:
        raise EvaluationError(
            f"the {name} image has {describe(array)}; this protocol scores 8-bit images.",
            "Round it to 8 bits with the protocol's quantise(), or store it as an 8-bit file.",
        )


def require_floats(name: str, array: Array, channels: int, top: float) -> None:
    """Refuse anything but a finite float array of shape (H, W, ``channels``) in [0, ``top``].

    Raises:
        EvaluationError: for another type or layout, NaN or infinite values, or values outside.
    """
    _require_layout(name, array, channels)
    require_finite(name, array)
    low, high = float(array.min()), float(array.max())
    if low < 0.0 or high > top:
        raise EvaluationError(
            f"the {name} image spans [{low:g}, {high:g}]; this protocol scores values in "
            f"[0, {top:g}].",
            "Scale and clip it with the protocol's quantise() before scoring.",
        )


def require_finite(name: str, array: Array) -> None:
    """Refuse integers, NaN and infinite values.

    Raises:
        EvaluationError: naming the type, or the number of such values.
    """
    if not np.issubdtype(array.dtype, np.floating):
        raise EvaluationError(
            f"the {name} image has {describe(array)}; floating-point values are needed.",
            "Divide the integers by their largest value first.",
        )
    # Minimum and maximum propagate NaN without a mask as large as the image.
    if array.size and not np.isfinite([array.min(), array.max()]).all():
        bad = array.size - int(np.count_nonzero(np.isfinite(array)))
        raise EvaluationError(
            f"the {name} image holds {bad} NaN or infinite values of {array.size}.",
            "Check the network or the file that the image comes from.",
        )


def require_same_size(restored: Array, target: Array) -> None:
    """Refuse a pair whose shapes differ.

    Raises:
        EvaluationError: naming both shapes.
    """
    if restored.shape != target.shape:
        raise EvaluationError(
            f"the restored image has shape {tuple(restored.shape)}; "
            f"its target has {tuple(target.shape)}.",
            "Both must have the same size; nothing is cropped or resized here.",
        )


def require_sides(array: Array, smallest: int) -> None:
    """Refuse an image with a side shorter than the SSIM window.

    Raises:
        EvaluationError: naming the shape and the window.
    """
    if min(array.shape[:2]) < smallest:
        raise EvaluationError(
            f"an image of {array.shape[0]}x{array.shape[1]} is smaller than the "
            f"{smallest}x{smallest} SSIM window.",
            "This protocol needs larger images.",
        )


def _require_layout(name: str, array: Array, channels: int) -> None:
    if array.ndim != 3 or array.shape[2] != channels or array.size == 0:
        kind = _CHANNELS.get(array.shape[2], "") if array.ndim == 3 else ""
        got = f"{describe(array)}{f' ({kind})' if kind else ''}"
        raise EvaluationError(
            f"the {name} image has {got}; this protocol scores (height, width, {channels}).",
            "Convert it first: drop alpha, expand grey or a palette.",
        )
