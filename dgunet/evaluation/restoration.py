"""Restoration of one image: whole, in the tiles of the released test, or as an x8 self-ensemble.

The network's instance norms, channel attention and subspace projection use statistics of the
whole image, so cutting an image changes the result. Tiles are used only where the published
values were made with them (compressive sensing). An image that does not fit into memory is restored
in strips, which keep these statistics; see `dgunet.evaluation.strips`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dgunet.evaluation.networks import Network, TooLargeError, device_of
from dgunet.evaluation.strips.restoring import StripPlan, plan_strips, restore_exactly
from dgunet.imaging.arrays import Array
from dgunet.system.errors import EvaluationError, exhausts_memory

Restore = Callable[[Tensor], Tensor]
Observe = Callable[[float], None]
"""Called with the part of the work that is done, from 0 to 1."""

ENSEMBLE = 8
"""Passes of the self-ensemble, see `eightfold`."""

_ROWS_AT_ONCE = 64
_TILES_AT_ONCE = 16
# (quarter turns counter-clockwise, then rows flipped) of the eight self-ensemble modes.
_MODES = (
    (0, False),
    (1, True),
    (0, True),
    (3, False),
    (2, True),
    (1, False),
    (2, False),
    (3, True),
)


def identity(y: Tensor) -> list[Tensor]:
    """A network that returns its input, used to score the degraded images themselves."""
    return [y]


def restore_image(
    network: Network,
    image: Array,
    *,
    self_ensemble: bool = False,
    blocks: int | None = None,
    plan: StripPlan | None = None,
    observe: Observe | None = None,
) -> NDArray[np.float32]:
    """Restore one image.

    Args:
        network: maps (1, C, H, W) to the stage outputs, the result last.
        image: uint8 or float in [0, 1], shape (H, W, C).
        self_ensemble: average the results of the eight flips and rotations (x8).
        blocks: side of the zero-padded tiles of the released compressive-sensing test; see
            `in_blocks`.
        plan: how to restore it in strips, as `plan_strips` gives it for ``image``; the result is
            the same up to rounding. None restores it whole.
        observe: called with the part of the strips that is done.

    Returns:
        The last stage's output, float32, shape (H, W, C), not clipped.

    Raises:
        EvaluationError: when the network changes the size or returns NaN, or there is no space
            for the files of the strips.
        TooLargeError: when the memory of the GPU or of this process is exhausted.
    """
    y = to_tensor(image).to(device_of(network))

    passes = _Passes(ENSEMBLE if self_ensemble else 1, observe)

    def once(part: Tensor) -> Tensor:
        if plan is not None:
            assert isinstance(network, nn.Module)
            return restore_exactly(network, part, _turned(plan, network, part), passes.next())
        if blocks is not None:
            return in_blocks(lambda piece: network(piece)[-1], part, blocks)
        return network(part)[-1]

    x_hat = None
    with torch.inference_mode():
        try:
            x_hat = eightfold(once, y) if self_ensemble else once(y)
        except (RuntimeError, MemoryError, SystemError) as error:
            if not exhausts_memory(error):
                raise
    if x_hat is None:
        # Outside the handler: the error's frames keep tensors alive.
        torch.cuda.empty_cache()
        raise TooLargeError(
            f"restoring {y.shape[-1]}x{y.shape[-2]} pixels exhausts the memory of {y.device}."
        )
    if x_hat.shape != y.shape:
        raise EvaluationError(
            f"the network changed the shape {tuple(y.shape)} into {tuple(x_hat.shape)}.",
            "Use a checkpoint trained for this task.",
        )
    if not bool(torch.isfinite(x_hat).all()):
        raise EvaluationError(
            "the network returned NaN or infinite values.",
            "The checkpoint is damaged or its training diverged; use an earlier one.",
        )
    return np.ascontiguousarray(x_hat[0].float().permute(1, 2, 0).cpu().numpy())


class _Passes:
    """Tells how far all passes are, from how far each one is."""

    def __init__(self, count: int, observe: Observe | None) -> None:
        self._count, self._observe, self._begun = count, observe, 0

    def next(self) -> Observe:
        """Return what the next pass tells its progress to."""
        before, self._begun = self._begun, self._begun + 1

        def tell(part: float) -> None:
            if self._observe is not None:
                self._observe((before + part) / self._count)

        return tell


def _turned(plan: StripPlan, network: nn.Module, part: Tensor) -> StripPlan:
    """Return the plan for ``part``, which the self-ensemble may have turned."""
    shape = (part.shape[2], part.shape[3], part.shape[1])
    if shape == plan.shape:
        return plan
    return plan_strips(network, shape, plan.budget, plan.folder)


def to_tensor(image: Array) -> Tensor:
    """Convert (H, W, C) uint8, uint16 or unit float to float32 (1, C, H, W) in [0, 1]."""
    height, width, channels = image.shape
    chw = np.empty((channels, height, width), np.float32)
    for top in range(0, height, _ROWS_AT_ONCE):  # few rows: a large image has no second copy
        rows = image[top : top + _ROWS_AT_ONCE]
        if np.issubdtype(image.dtype, np.integer):
            rows = rows.astype(np.float32) / np.float32(np.iinfo(image.dtype).max)
        chw[:, top : top + _ROWS_AT_ONCE] = np.moveaxis(rows, 2, 0)
    return torch.from_numpy(chw)[None]


def transform(image: Tensor, mode: int) -> Tensor:
    """Flip and rotate the last two dimensions by self-ensemble mode 0 to 7."""
    turns, flipped = _MODES[mode]
    turned = torch.rot90(image, turns, (-2, -1))
    return turned.flip(-2) if flipped else turned


def untransform(image: Tensor, mode: int) -> Tensor:
    """Undo `transform`: modes 3 and 5 undo each other, every other mode undoes itself."""
    return transform(image, {3: 5, 5: 3}.get(mode, mode))


def eightfold(restore: Restore, y: Tensor) -> Tensor:
    """The x8 self-ensemble: the mean of eight un-transformed raw results."""
    total = restore(y).clone()
    for mode in range(1, len(_MODES)):
        total += untransform(restore(transform(y, mode).contiguous()), mode)
    return total / len(_MODES)


def pad_to_blocks(y: Tensor, side: int) -> Tensor:
    """Pad right and bottom with ``side - size % side`` zeros: always at least one pixel.

    A size that is already divisible gets a whole extra tile; the published numbers include it.
    """
    height, width = y.shape[-2:]
    return nn.functional.pad(y, (0, side - width % side, 0, side - height % side))


def in_blocks(restore: Restore, y: Tensor, side: int) -> Tensor:
    """Restore independent ``side`` x ``side`` tiles of the zero-padded image, then crop.

    Args:
        restore: maps a batch of tiles (B, C, side, side) to the same shape.
        y: one image, (1, C, H, W).
        side: tile side in pixels.
    """
    padded = pad_to_blocks(y, side)
    channels, height, width = padded.shape[1:]
    rows, columns = height // side, width // side
    tiles = padded.view(channels, rows, side, columns, side).permute(1, 3, 0, 2, 4)
    batch = tiles.reshape(rows * columns, channels, side, side)
    batches = torch.split(batch, _TILES_AT_ONCE)
    done = torch.cat([restore(part.contiguous()) for part in batches])
    whole = done.view(rows, columns, channels, side, side).permute(2, 0, 3, 1, 4)
    return whole.reshape(1, channels, height, width)[..., : y.shape[-2], : y.shape[-1]]
