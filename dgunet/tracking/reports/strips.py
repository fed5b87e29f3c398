"""Strips of an evaluation: degraded input, restored image and target side by side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from dgunet.data.store.pair_store import PairStore
from dgunet.evaluation.kept_images import kept_image_path
from dgunet.imaging.arrays import Array
from dgunet.imaging.strips import as_rgb8, side_by_side

GAP = 4
"""White pixels between the images."""


def strips(results: Path, store: Path) -> Iterator[tuple[str, Array]]:
    """Yield (id, strip) for each restored image that an evaluation kept in ``results``.

    A strip is uint8 (H, W, 3): the degraded input if the set has one, the restored image, and
    the target if the set has one, with `GAP` white pixels between them.
    """
    pairs = PairStore.open(store)
    for index in range(len(pairs)):
        record = pairs[index]
        path = kept_image_path(results, record.id)
        if path.is_file():
            with Image.open(path) as file:
                restored = np.asarray(file)
            known = [each for each in (record.input, restored, record.target) if each is not None]
            yield record.id, side_by_side([as_rgb8(image) for image in known], gap=GAP)
