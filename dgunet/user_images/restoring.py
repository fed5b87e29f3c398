"""Restoration of a user's own images, read from and written to any common format."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dgunet.evaluation.memory import bytes_left, estimate
from dgunet.evaluation.networks import Network, TooLargeError, device_of
from dgunet.evaluation.restoration import Observe
from dgunet.evaluation.within_memory import restore_within
from dgunet.imaging.arrays import Array
from dgunet.system.errors import EvaluationError, exhausts_memory
from dgunet.user_images.decoded import UserImage
from dgunet.user_images.decoding import read_image
from dgunet.user_images.encoding import fit_to_format, write_image
from dgunet.user_images.folders import find_images, output_paths

__all__ = [
    "UserImage",
    "find_images",
    "output_paths",
    "read_image",
    "restore_file",
    "restore_user_image",
    "write_image",
]

_ROWS_AT_ONCE = 256
_LUMA = np.array([0.299, 0.587, 0.114])


def restore_file(
    network: Network,
    source: Path,
    target: Path,
    *,
    channels: int = 3,
    self_ensemble: bool = False,
    budget: int | None = None,
    scratch: Path | None = None,
    observe: Observe | None = None,
) -> UserImage:
    """Read, restore and write one image; refuse early what the target format cannot hold.

    Args:
        network, channels, self_ensemble, budget, scratch, observe: as for `restore_user_image`.
        source: the image.
        target: path of the restored image; its suffix selects the format.

    Returns:
        The restored image with the notes of all conversions.

    Raises:
        DataError: for an image that cannot be read, or cannot be written in that format.
        EvaluationError: if it does not fit into memory, or the network fails.
    """
    image = read_image(source)
    fit_to_format(image, target)  # refuses before the restoration
    restored = restore_user_image(
        network,
        image,
        str(source),
        channels=channels,
        self_ensemble=self_ensemble,
        budget=budget,
        scratch=scratch,
        observe=observe,
    )
    return replace(restored, notes=write_image(target, restored))


def restore_user_image(
    network: Network,
    image: UserImage,
    name: str,
    *,
    channels: int = 3,
    self_ensemble: bool = False,
    budget: int | None = None,
    scratch: Path | None = None,
    observe: Observe | None = None,
) -> UserImage:
    """Restore an image of any size and keep its depth, alpha and metadata.

    Args:
        network: maps (1, ``channels``, H, W) to the stage outputs, the result last.
        image: as `read_image` returns it.
        name: for messages.
        channels: channels of the network. For an RGB network a grey image becomes three equal
            channels, and the result is their mean; for a grey network a colour image becomes its
            luma, and the result is grey.
        self_ensemble: average over the eight flips and rotations, at eight times the cost.
        budget: bytes of memory that this process may take; None for what is free. An image that
            needs more is restored in strips, with the same result up to rounding.
        scratch: folder for temporary files of the strips; None for that of the system.
        observe: called with the part of the work that is done, after every stage or strip.

    Raises:
        EvaluationError: when the image does not fit into memory, or the network fails.
    """
    given = image.pixels
    with _errors_with(name, network, (*given.shape[:2], channels)):
        network_input = _network_input(given, channels)
        if budget is not None:
            # The image as the network takes it, and the result, twice for a moment each.
            budget = bytes_left(budget, device_of(network)) - 3 * 4 * network_input.size
        restored, strips = restore_within(
            network,
            network_input,
            self_ensemble=self_ensemble,
            budget=budget,
            scratch=scratch,
            observe=observe,
        )
        whole = _in_levels(restored, given)
    if strips is not None:
        image = image.noted(f"restored in {strips} strips: exact, for less memory")
    if whole.shape == given.shape:
        return replace(image, pixels=whole)
    # The profile of a colour image does not apply to grey.
    return image.noted(
        "colour became grey: the network restores grey images", pixels=whole, icc=None
    )


def _in_levels(restored: NDArray[np.float32], given: Array) -> Array:
    """Round to the levels of ``given``, and average to grey if it is grey; few rows at a time."""
    top = float(np.iinfo(given.dtype).max)
    channels = 1 if given.shape[2] == 1 else restored.shape[2]
    whole = np.empty((*restored.shape[:2], channels), given.dtype)
    for first in range(0, len(restored), _ROWS_AT_ONCE):
        rows = restored[first : first + _ROWS_AT_ONCE].astype(np.float64)
        if channels < rows.shape[2]:
            rows = rows.mean(axis=2, keepdims=True)
        whole[first : first + len(rows)] = np.rint(np.clip(rows, 0.0, 1.0) * top)
    return whole


def _network_input(given: Array, channels: int) -> Array:
    """Convert pixels (H, W, 1) or (H, W, 3) to the network's channels."""
    if channels == 3 and given.shape[2] == 1:
        return np.repeat(given, 3, axis=2)
    if channels == 1 and given.shape[2] == 3:
        top = float(np.iinfo(given.dtype).max)
        return np.asarray((given @ _LUMA / top).astype(np.float32)[..., None])
    return given


@contextmanager
def _errors_with(name: str, network: Network, shape: tuple[int, ...]) -> Iterator[None]:
    """Add ``name`` to errors raised in the block, and the estimate if memory ran out."""
    try:
        yield
    except TooLargeError as error:
        message = error.message
        needed = None if "GB" in message else estimate(network, shape)
        message += "" if needed is None else f" It needs about {needed / 1e9:.2f} GB."
        raise TooLargeError(f"{name}: {message}", error.hint) from error
    except EvaluationError as error:
        raise EvaluationError(f"{name}: {error.message}", error.hint) from error
    except (RuntimeError, MemoryError, SystemError) as error:
        if not exhausts_memory(error):
            raise
        size = f"{shape[1]}x{shape[0]}"
        raise TooLargeError(f"{name}: restoring {size} pixels exhausts the memory.") from error
