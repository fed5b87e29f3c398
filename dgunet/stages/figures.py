"""Before/after strips: input, restored and target side by side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dgunet.data.store import PairStore

Pixels = NDArray[np.uint8]


def strips(restored: Path, store: Path) -> Iterator[tuple[str, Pixels]]:
    """Yield (file name, strip) for each restored PNG in ``restored``.

    A strip is uint8 (H, W, 3): the degraded input if the set has one, the restored image, and
    the ground truth if the set has one, with a white gap between.
    """
    if not restored.is_dir():
        return
    wanted = {path.stem: path for path in sorted(restored.glob("*.png"))}
    for record in (pairs := PairStore.open(store)) and (pairs[i] for i in range(len(pairs))):
        if record.id in wanted:
            with Image.open(wanted[record.id]) as image:
                middle = np.asarray(image)
            yield f"{record.id}.png", side_by_side([record.input, middle, record.target])


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
