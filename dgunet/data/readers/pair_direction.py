"""Detection of swapped inputs and targets from their pixels."""

from __future__ import annotations

import numpy as np

from dgunet.data.readers.images import Pixels


def roughness(image: Pixels) -> float:
    """Mean absolute difference of horizontal neighbours in every fourth row."""
    steps = np.abs(np.diff(image[::4].astype(np.float32), axis=1))
    return float(steps.sum() / max(steps.size, 1))


def looks_swapped(task: str, rougher: float) -> bool:
    """Whether inputs and targets are probably swapped.

    Blur removes detail; rain and noise add some.

    Args:
        task: task of the dataset.
        rougher: share of pairs whose input has more detail than the target, 0 to 1.
    """
    return rougher > 0.8 if task == "deblur" else rougher < 0.2
