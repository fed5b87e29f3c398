"""Which half of a pair is the degraded one, told by the pixels."""

from __future__ import annotations

import numpy as np

from dgunet.data.readers.images import Pixels


def roughness(image: Pixels) -> float:
    """Mean absolute difference of horizontal neighbours, on every fourth row."""
    steps = np.abs(np.diff(image[::4].astype(np.float32), axis=1))
    return float(steps.sum() / max(steps.size, 1))


def looks_swapped(task: str, rougher: float) -> bool:
    """Whether the share of inputs with more detail than their targets speaks for a swap.

    Blur takes detail away; rain and noise add some.
    """
    return rougher > 0.8 if task == "deblur" else rougher < 0.2
