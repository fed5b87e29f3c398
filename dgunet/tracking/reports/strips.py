"""Before/after strips: input, restored and target side by side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dgunet.data.store.pair_store import PairStore
from dgunet.evaluation.image_steps import picture_path

Pixels = NDArray[np.uint8]


def strips(results: Path, store: Path) -> Iterator[tuple[str, Pixels]]:
    """Yield (file name, strip) for each restored picture that an evaluation kept in ``results``.

    A strip is uint8 (H, W, 3): the degraded input if the set has one, the restored image, and
    the ground truth if the set has one, with a white gap between.
    """
    pairs = PairStore.open(store)
    for index in range(len(pairs)):
        record = pairs[index]
        path = picture_path(results, record.id)
        if path.is_file():
            with Image.open(path) as image:
                middle = np.asarray(image)
            yield path.name, side_by_side([record.input, middle, record.target])


def side_by_side(images: list[NDArray[Any] | None], gap: int = 4) -> Pixels:
    """Join images of equal height; float images are in [0, 1], grey ones become RGB."""
    shown = [_rgb(image) for image in images if image is not None]
    white = np.full((shown[0].shape[0], gap, 3), 255, dtype=np.uint8)
    parts = [part for image in shown for part in (white, image)][1:]
    return np.concatenate(parts, axis=1)


def _rgb(image: NDArray[Any]) -> Pixels:
    if image.dtype != np.uint8:
        image = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    if image.ndim == 2:
        image = image[..., None]
    return np.broadcast_to(image, (*image.shape[:2], 3)).copy() if image.shape[2] == 1 else image
