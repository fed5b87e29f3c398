"""Decoding of image files to 8-bit RGB or full-range grey; every error names the file."""

from __future__ import annotations

import re
import stat
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from dgunet.data.readers.limits import PIXELS
from dgunet.imaging.colour import opencv_luma
from dgunet.system.errors import DataError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"})

FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
"""Accepted formats of a dataset's images, by content and not by suffix."""

FRAMES = 100
"""Frames of an image are counted up to this number."""

Pixels = NDArray[Any]
"""An image H x W x C, uint8 in 0..255 or float32 in [0, 1]."""


class LazyImage(Protocol):
    """One image of a pair, decoded on request."""

    @property
    def path(self) -> Path:
        """The file that holds the image."""

    def shape(self) -> tuple[int, int, int]:
        """(H, W, C), read without decoding the pixels."""

    def kind(self) -> str:
        """Format of the file and colour mode of its pixels, e.g. ``PNG RGB``."""

    def load(self) -> Pixels:
        """Decode the pixels, H x W x C."""


@dataclass(frozen=True)
class FileImage:
    """An image stored as a whole file; ``grey`` decodes it to one channel."""

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
class HalfImage:
    """The left or the right half of a file that shows a pair side by side."""

    path: Path
    left: bool

    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) from the file's header.

        Raises:
            DataError: if the number of columns is odd.
        """
        with _opened(self.path) as image:
            if image.width % 2:
                raise DataError(
                    f"{self.path} has {image.width} columns, which cannot be halved.",
                    "Each file of this dataset shows a pair side by side: use the original.",
                )
            return image.height, image.width // 2, 3

    def kind(self) -> str:
        """As `FileImage.kind`."""
        return FileImage(self.path).kind()

    def load(self) -> Pixels:
        """Decode; see `read_rgb`."""
        middle = self.shape()[1]
        pixels = read_rgb(self.path)
        return pixels[:, :middle] if self.left else pixels[:, middle:]


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Decode an image to H x W x 3 uint8, unchanged; a grey file gives three equal channels.

    Raises:
        DataError: if the file is missing, truncated, not PNG, JPEG, TIFF or BMP, deeper than 8
            bits, animated, too large, or has an alpha channel.
    """
    with _opened(path) as image:
        return _array(image, "RGB")


def read_grey(path: Path) -> NDArray[np.uint8]:
    """Decode an image to full-range Y, H x W x 1 uint8; a grey file is returned unchanged.

    Colour becomes Y = 0.299 R + 0.587 G + 0.114 B as in the compressive-sensing benchmark, see
    `dgunet.imaging.colour.opencv_luma`.

    Raises:
        DataError: as for `read_rgb`.
    """
    with _opened(path) as image:
        if image.mode == "L":
            return _array(image, "L")[..., None]
        return opencv_luma(_array(image, "RGB"))


def open_image(
    path: Path,
    formats: tuple[str, ...],
    *,
    unreadable: str = "not a readable image",
    hint: str = "",
) -> Image.Image:
    """Read the header of one still image; the pixels are decoded later.

    Args:
        path: a regular file.
        formats: Pillow's names of the accepted formats.
        unreadable: description of a damaged file in the message.
        hint: how to fix a damaged or missing file.

    Raises:
        DataError: for a missing file, a folder, pipe or device, another format, a damaged header,
            more pixels than `dgunet.data.readers.limits` allows, or several frames.
    """
    hint = hint or _DOWNLOAD_AGAIN
    _refuse_special(path, hint)
    if PIXELS.is_raised:  # otherwise Pillow's own limit applies, which is the same
        Image.MAX_IMAGE_PIXELS = max(PIXELS.value // 2, 1)  # Pillow refuses more than twice as many
    try:
        image = Image.open(path, formats=formats)
        # Further frames of a smartphone's JPEG are previews and gain maps.
        frames = 1 if image.format == "MPO" else _count_frames(image, path)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        found = [f"{int(count):,}" for count in re.findall(r"\d+", str(error))]
        raise DataError(
            f"{path} is too large: {' pixels, at most '.join(found[:2])} are read.", PIXELS.hint
        ) from error
    except UnidentifiedImageError as error:
        raise DataError(f"{path} is {unreadable} ({', '.join(formats)}).", hint) from error
    except MemoryError as error:
        raise MemoryError(str(path)) from error
    except Exception as error:  # Pillow's readers may raise anything
        raise DataError(f"{path} is {unreadable} ({_describe(error)}).", hint) from error
    if frames > 1:
        image.close()
        count = f"more than {FRAMES}" if frames > FRAMES else str(frames)
        raise DataError(f"{path} has {count} frames.", "Save the frames as single images.")
    return image


def _count_frames(image: Image.Image, path: Path) -> int:
    """Count the frames of an opened image; those of a TIFF only up to `FRAMES` + 1.

    Pillow's own count of a TIFF's frames takes time quadratic in their number.
    """
    if image.format != "TIFF":
        return int(getattr(image, "n_frames", 1))
    frames = 1
    with Image.open(path, formats=["TIFF"]) as again, suppress(Exception):
        while frames <= FRAMES:
            again.seek(frames)  # fails after the last frame, or where the file is damaged
            frames += 1
    return frames


warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # see `open_image`


def _refuse_special(path: Path, hint: str) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.", hint) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read ({reason}).", hint) from error
    if not stat.S_ISREG(mode):
        raise DataError(f"{path} is not a regular file.", "Replace it by an image file.")


def _opened(path: Path) -> Image.Image:
    image = open_image(path, FORMATS)
    problem = _unsupported(image)
    if problem:
        image.close()
        raise DataError(
            f"{path} {problem}.", "The benchmark's files are 8-bit RGB or grey; use the original."
        )
    return image


def _describe(error: BaseException) -> str:
    return str(error) or type(error).__name__


_DOWNLOAD_AGAIN = "The file is damaged: extract it again from the archive."


def _unsupported(image: Image.Image) -> str:
    # Pillow narrows 16-bit RGB silently; the raw mode of the decoder shows it.
    raw = " ".join(str(part) for tile in getattr(image, "tile", []) for part in tile[3:])
    if "16" in raw or image.mode.startswith(("I", "F")):
        return "has more than 8 bits per channel"
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        return "has an alpha channel"
    if image.mode not in ("RGB", "L", "P"):
        return f"has the colour mode {image.mode}"
    return ""


def _array(image: Image.Image, mode: str) -> NDArray[np.uint8]:
    try:
        return np.asarray(image if image.mode == mode else image.convert(mode))
    except MemoryError as error:
        raise MemoryError(str(getattr(image, "filename", "image"))) from error
    except Exception as error:  # Pillow's decoders may raise anything
        name = getattr(image, "filename", "image")
        raise DataError(
            f"{name} is truncated or damaged ({_describe(error)}).", _DOWNLOAD_AGAIN
        ) from error
