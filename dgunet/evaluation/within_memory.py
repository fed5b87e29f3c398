"""Restoration of an image of any size within the memory: whole if it fits, else in strips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from dgunet.backends.stages import eager_network
from dgunet.evaluation.memory import free_bytes, require_memory
from dgunet.evaluation.networks import Network, TooLargeError, device_of
from dgunet.evaluation.progress import observed
from dgunet.evaluation.restoration import ENSEMBLE, Observe, restore_image
from dgunet.evaluation.strips.restoring import plan_strips
from dgunet.imaging.arrays import Array

_OF_FREE = 0.8
"""Part of the free memory that strips take unless a budget is given."""


def restore_within(
    network: Network,
    image: Array,
    *,
    self_ensemble: bool = False,
    budget: int | None = None,
    scratch: Path | None = None,
    observe: Observe | None = None,
) -> tuple[NDArray[np.float32], int | None]:
    """Restore one image whole, or in strips if it does not fit into the memory whole.

    Args:
        network, image, self_ensemble: as for `dgunet.evaluation.restoration.restore_image`.
            Strips are restored by eager torch, whatever the backend of the network.
        budget: bytes that the restoration may take, without the image and the result; None for
            the memory that is free.
        scratch: folder for temporary files of the strips; None for that of the system.
        observe: called with the part of the work that is done, from 0 to 1.

    Returns:
        The restored image, float32 (H, W, C), and the number of strips; None for a whole image.

    Raises:
        EvaluationError: as for `restore_image`.
        TooLargeError: if the budget is too small for the smallest strips, or the image does not
            fit and the network is a plain function.
    """
    try:
        require_memory(network, image.shape, budget)
        with observed(network, ENSEMBLE if self_ensemble else 1, observe):
            return restore_image(network, image, self_ensemble=self_ensemble), None
    except TooLargeError:
        if not isinstance(network, nn.Module):
            raise
    # Outside the handler, whose error keeps tensors alive.
    eager: nn.Module = eager_network(network)
    if budget is None:
        budget = int(_OF_FREE * free_bytes(device_of(network)))
    height, width, channels = image.shape
    plan = plan_strips(eager, (height, width, channels), budget, scratch)
    if self_ensemble:  # which turns it: refused now rather than after the first pass
        plan_strips(eager, (width, height, channels), budget, scratch)
    restored = restore_image(eager, image, self_ensemble=self_ensemble, plan=plan, observe=observe)
    return restored, plan.strips
