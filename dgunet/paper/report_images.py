"""The images of the HTML report: crops of one test image, degraded, restored and true."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

from PIL import Image

from dgunet.imaging.arrays import Array
from dgunet.imaging.strips import as_rgb8

CROP = 256
"""Largest side in pixels of a crop."""

SHOWN = 192
"""Smaller crops are shown in whole multiples of their pixels, up to this width."""


@dataclass(frozen=True)
class Panel:
    """One crop with its caption, such as "degraded, 24.10 dB"; uint8 (H, W, 3)."""

    caption: str
    crop: Array

    @property
    def width(self) -> int:
        """Width on the page in CSS pixels."""
        width: int = self.crop.shape[1]
        return width * max(1, SHOWN // width)

    @property
    def address(self) -> str:
        """The crop as a PNG in a ``data:`` address, so that the page stays one file."""
        buffer = io.BytesIO()
        Image.fromarray(self.crop).save(buffer, "PNG", optimize=True)
        return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


@dataclass(frozen=True)
class Figure:
    """The panels of one test image under a table.

    Attributes:
        table: number of the table that the image's test set belongs to.
        title: test set, row and image.
        panels: from left to right.
    """

    table: int
    title: str
    panels: tuple[Panel, ...]


def centre_crop(image: Array) -> Array:
    """Cut at most `CROP` x `CROP` pixels from the centre; as uint8 RGB.

    Args:
        image: as for `as_rgb8`.
    """
    top, left = (max(0, (side - CROP) // 2) for side in image.shape[:2])
    return as_rgb8(image[top : top + CROP, left : left + CROP])
