"""Decoding photographs: 8-bit RGB or full-range grey, or one line that names the file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from dgunet.errors import DataError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"})

Pixels = NDArray[Any]
"""An image H x W x C, uint8 in 0..255 or float32 in [0, 1]."""


class Picture(Protocol):
    """One image of a pair, not decoded yet."""

    @property
    def path(self) -> Path:
        """The file it comes from."""

    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) without decoding the pixels."""

    def kind(self) -> str:
        """Format of the file and colour mode of its pixels, e.g. ``PNG RGB``."""

    def load(self) -> Pixels:
        """The pixels, H x W x C."""


@dataclass(frozen=True)
class FilePicture:
    """An image file of its own; ``grey`` asks for one channel."""

    path: Path
    grey: bool = False

    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) from the file's header."""
        with _opened(self.path) as image:
            return image.height, image.width, 1 if self.grey else 3

    def kind(self) -> str:
        """``PNG RGB``, ``JPEG L`` and the like, from the file's header."""
        with _opened(self.path) as image:
            return f"{image.format} {image.mode}"

    def load(self) -> Pixels:
        """Decode; see `read_rgb` and `read_grey`."""
        return read_grey(self.path) if self.grey else read_rgb(self.path)


@dataclass(frozen=True)
class HalfPicture:
    """The left or the right half of a photograph that shows a pair side by side."""

    path: Path
    left: bool

    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) from the file's header.

        Raises:
            DataError: if the columns do not make two halves.
        """
        with _opened(self.path) as image:
            if image.width % 2:
                raise DataError(
                    f"{self.path} has {image.width} columns, which make no two halves.",
                    "Its name says that it shows a pair side by side: bring the original.",
                )
            return image.height, image.width // 2, 3

    def kind(self) -> str:
        """As `FilePicture.kind`."""
        return FilePicture(self.path).kind()

    def load(self) -> Pixels:
        """Decode; see `read_rgb`."""
        middle = self.shape()[1]
        pixels = read_rgb(self.path)
        return pixels[:, :middle] if self.left else pixels[:, middle:]


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Decode a photograph to H x W x 3 uint8, unchanged; a grey file gives three equal channels.

    Raises:
        DataError: if the file is missing, truncated, no image, deeper than 8 bits, or has an
            alpha channel.
    """
    with _opened(path) as image:
        return _array(image, "RGB")


def read_grey(path: Path) -> NDArray[np.uint8]:
    """Decode a photograph to full-range Y, H x W x 1 uint8; a grey file comes back unchanged.

    Colour becomes Y = 0.299 R + 0.587 G + 0.114 B as in the compressive-sensing benchmark, see
    `dgunet.evaluation.colour.opencv_luma`.

    Raises:
        DataError: as for `read_rgb`.
    """
    from dgunet.evaluation.colour import opencv_luma

    with _opened(path) as image:
        if image.mode == "L":
            return _array(image, "L")[..., None]
        return opencv_luma(_array(image, "RGB"))


def _opened(path: Path) -> Image.Image:
    try:
        image = Image.open(path)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.", "Bring the data set again.") from None
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise DataError(f"{path} is not a readable image ({error}).", _AGAIN) from error
    problem = _unwanted(image)
    if problem:
        image.close()
        raise DataError(
            f"{path} {problem}.", "The benchmark's files are 8-bit RGB or grey; use the original."
        )
    return image


_AGAIN = "The file is damaged: bring it again from the archive."


def _unwanted(image: Image.Image) -> str:
    # Pillow narrows 16-bit RGB silently; the raw mode of the decoder still tells.
    raw = " ".join(str(part) for tile in getattr(image, "tile", []) for part in tile[3:])
    if "16" in raw or image.mode.startswith(("I", "F")):
        return "has more than 8 bits a channel"
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        return "has an alpha channel"
    if image.mode not in ("RGB", "L", "P"):
        return f"has the colour mode {image.mode}"
    return ""


def _array(image: Image.Image, mode: str) -> NDArray[np.uint8]:
    try:
        return np.asarray(image if image.mode == mode else image.convert(mode))
    except (OSError, SyntaxError, ValueError) as error:
        name = getattr(image, "filename", "image")
        raise DataError(f"{name} is cut off or damaged ({error}).", _AGAIN) from error
