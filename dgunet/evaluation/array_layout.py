"""The layout of arrays that hold one image or a stack of images, where the shape decides it."""

from __future__ import annotations

import numpy as np

from dgunet.imaging.arrays import Array, describe
from dgunet.system.errors import EvaluationError

SMALLEST = 7
"""Arrays whose two longest axes are shorter hold no image but settings."""

_COLOURS = (1, 3)
_SAVE = "Save it as (height, width, channels)."


def is_image_like(shape: tuple[int, ...]) -> bool:
    """Return whether an array of this shape can hold an image."""
    return len(shape) >= 2 and sorted(shape)[-2] >= SMALLEST


def as_image(values: Array) -> Array:
    """Return one image as (H, W, C), C = 1 or 3.

    (H, W), (H, W, C), (C, H, W) and these with a leading axis of length 1 are recognised.

    Raises:
        EvaluationError: for another shape, an alpha channel, or a shape that can be read in two
            ways.
    """
    while values.ndim > 3 and values.shape[0] == 1:
        values = values[0]
    if values.ndim == 2:
        return values[..., None]
    if values.ndim != 3:
        raise EvaluationError(f"the array has {describe(values)}, which is not an image.", _SAVE)
    last, first = values.shape[2] in _COLOURS, values.shape[0] in _COLOURS
    if last and first:
        raise EvaluationError(
            f"the array has {describe(values)}; its channels can be the first or the last axis.",
            "Save it as .png or .tif.",
        )
    if last:
        return values
    if first:
        return np.moveaxis(values, 0, 2)
    if values.shape[2] in (2, 4) or values.shape[0] in (2, 4):
        raise EvaluationError(
            f"the array has {describe(values)}, an image with alpha.", "Drop the alpha channel."
        )
    raise EvaluationError(f"the array has {describe(values)}, which is not an image.", _SAVE)


def as_stack(values: Array, count: int | None = None) -> list[Array]:
    """Return the images of a stack as (H, W, C), in their order.

    (N, H, W), (H, W, N), (N, H, W, C), (N, C, H, W) and (H, W, C, N) are recognised.

    Args:
        values: the stack.
        count: N, if it is known from the other side.

    Raises:
        EvaluationError: if the shape fits none of them or more than one.
    """
    if values.ndim == 2 or (values.ndim == 3 and count == 1):
        return [as_image(values)]
    fitting = [moved for moved in _readings(values) if count in (None, moved.shape[0])]
    if len(fitting) == 1:
        return list(fitting[0])
    problem = "no layout" if not fitting else "several layouts"
    known = "" if count is None else f" for {count} images"
    raise EvaluationError(
        f"the array has {describe(values)}; {problem} of a stack fit it{known}.",
        "Save a stack as (images, height, width, channels), or one file or variable per image.",
    )


def _readings(values: Array) -> list[Array]:
    """Every way to read the shape as (N, H, W, C)."""
    if values.ndim == 3:
        if values.shape[2] in _COLOURS or values.shape[0] in _COLOURS:
            return [as_image(values)[None]]  # one image
        return [values[..., None], np.moveaxis(values, 2, 0)[..., None]]
    if values.ndim != 4:
        return []
    sides = (
        (3, values),
        (1, np.moveaxis(values, 1, 3)),
        (2, np.moveaxis(values, 3, 0)),
    )
    return [
        moved
        for axis, moved in sides
        if values.shape[axis] in _COLOURS and min(moved.shape[1:3]) >= SMALLEST
    ]
