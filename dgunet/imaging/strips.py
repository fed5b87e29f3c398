"""Images side by side in one image, for comparison by eye."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dgunet.imaging.arrays import Array


def side_by_side(images: Sequence[Array], *, gap: int = 0) -> Array:
    """Join images of equal height, number of channels and type, from left to right.

    Args:
        images: each (H, W, C), uint8 or float in [0, 1].
        gap: width in pixels of a white stripe between them.

    Returns:
        One image (H, sum of widths and gaps, C) of the same type.

    Raises:
        ValueError: if there is no image, or heights or channels differ.
    """
    first = images[0] if images else np.empty((0, 0, 0))
    white = 255 if first.dtype == np.uint8 else 1
    stripe = np.full((first.shape[0], gap, first.shape[2]), white, first.dtype)
    parts = [part for image in images for part in (stripe, image)]
    return np.concatenate(parts[1:], axis=1)


def as_rgb8(image: Array) -> NDArray[np.uint8]:
    """Convert an image to uint8 RGB (H, W, 3).

    Args:
        image: (H, W), (H, W, 1) or (H, W, 3); uint8, or float that is clipped to [0, 1], scaled by
            255 and rounded half to even.
    """
    if image.dtype != np.uint8:
        image = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    if image.ndim == 2:
        image = image[..., None]
    return np.broadcast_to(image, (*image.shape[:2], 3)).copy() if image.shape[2] == 1 else image
