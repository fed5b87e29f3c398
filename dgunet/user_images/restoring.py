"""Restoration of a user's own images, read from and written to any common format."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from dgunet.evaluation.memory import estimate, require_memory
from dgunet.evaluation.restoration import Network, TooLargeError, restore_image
from dgunet.imaging.arrays import Array
from dgunet.system.errors import EvaluationError, exhausts_memory
from dgunet.user_images.decoded import UserImage
from dgunet.user_images.decoding import read_image
from dgunet.user_images.encoding import fit_to_format, write_image
from dgunet.user_images.folders import find_images, output_paths
from dgunet.user_images.progress import Observe, count_passes, observed

__all__ = [
    "UserImage",
    "find_images",
    "output_paths",
    "read_image",
    "restore_file",
    "restore_user_image",
    "write_image",
]

_LUMA = np.array([0.299, 0.587, 0.114])


def restore_file(
    network: Network,
    source: Path,
    target: Path,
    *,
    channels: int = 3,
    self_ensemble: bool = False,
    tile: int | None = None,
    observe: Observe | None = None,
    budget: int | None = None,
) -> UserImage:
    """Read, restore and write one image; refuse early what the target format cannot hold.

    Args:
        network, channels, self_ensemble, tile, observe, budget: as for `restore_user_image`.
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
        tile=tile,
        observe=observe,
        budget=budget,
    )
    return replace(restored, notes=write_image(target, restored))


def restore_user_image(
    network: Network,
    image: UserImage,
    name: str,
    *,
    channels: int = 3,
    self_ensemble: bool = False,
    tile: int | None = None,
    observe: Observe | None = None,
    budget: int | None = None,
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
        tile: side in pixels of tiles for an image that does not fit into memory; the result
            differs, since the network then uses the statistics of a tile.
        observe: called with the part of the work that is done, after every stage of the network.
        budget: bytes that restoring the image whole may take; None for the memory that is free.

    Raises:
        EvaluationError: when the image does not fit into memory, or the network fails.
    """
    given = image.pixels
    with _errors_with(name, network, (*given.shape[:2], channels)):
        network_input = _network_input(given, channels)
        if tile is None:
            require_memory(network, network_input.shape, budget)
        passes = count_passes(*given.shape[:2], self_ensemble=self_ensemble, tile=tile)
        with observed(network, passes, observe):
            restored = restore_image(network, network_input, self_ensemble=self_ensemble, tile=tile)
        if channels == 3 and given.shape[2] == 1:
            restored = restored.mean(axis=2, keepdims=True, dtype=np.float64)
        top = float(np.iinfo(given.dtype).max)
        whole = np.rint(np.clip(restored, 0.0, 1.0).astype(np.float64) * top).astype(given.dtype)
    if whole.shape == given.shape:
        return replace(image, pixels=whole)
    # The profile of a colour image does not apply to grey.
    return image.noted(
        "colour became grey: the network restores grey images", pixels=whole, icc=None
    )


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
