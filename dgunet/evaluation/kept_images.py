"""The restored images that an evaluation keeps: the first ones, and the best, median and worst."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from dgunet.evaluation.rows import Row
from dgunet.system.safe_paths import safe_file_name

Rank = Literal["best", "median", "worst"]
"""Places in the order of a test set's images by PSNR; a result keeps the image at each."""

RANKED = 3
"""Most images that are kept for their PSNR."""


def ranked_images(psnrs: Sequence[float | None]) -> dict[Rank, int]:
    """The indices of the images with the best, the median and the worst PSNR.

    The first of images with an equal PSNR. An infinite PSNR is the best. For an even number of
    images the median is the lower of the two in the middle, so that it is the PSNR of an image.

    Args:
        psnrs: in the order of the set.

    Returns:
        Nothing for an empty set, or if an image has no PSNR: only a server scores the set.
    """
    known = [psnr for psnr in psnrs if psnr is not None]
    if not known or len(known) < len(psnrs):
        return {}
    ordered = sorted(known)
    return {
        "best": known.index(ordered[-1]),
        "median": known.index(ordered[(len(ordered) - 1) // 2]),
        "worst": known.index(ordered[0]),
    }


def kept_indices(rows: Sequence[Row], keep_images: int) -> list[int]:
    """The indices of the images that a result keeps, in order.

    Args:
        rows: of all images of the set, in its order.
        keep_images: how many are kept from the start of the set; for 0 none is kept.
    """
    if not keep_images:
        return []
    ranked = ranked_images([row.psnr for row in rows])
    return sorted({*range(min(keep_images, len(rows))), *ranked.values()})


def kept_image_path(folder: Path, record: str) -> Path:
    """The path in ``folder`` at which the restored image of ``record`` is kept.

    Raises:
        DataError: for a record whose name is not allowed as a file name.
    """
    name = f"{record.replace('/', '__')}.png"
    return folder / "restored" / safe_file_name(name, origin="the prepared set")
