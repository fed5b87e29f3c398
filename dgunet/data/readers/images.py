"""Decoding photographs: 8-bit RGB or full-range grey, or one line that names the file."""

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
from dgunet.system.errors import DataError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"})

FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
"""What a set's pictures are by their content, whatever their names say."""

FRAMES = 100
"""Frames of a picture are counted so far."""

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
        DataError: if the file is missing, truncated, no PNG, JPEG, TIFF or BMP, deeper than 8 bits,
            animated, too large, or has an alpha channel.
    """
    with _opened(path) as image:
        return _array(image, "RGB")


def read_grey(path: Path) -> NDArray[np.uint8]:
    """Decode a photograph to full-range Y, H x W x 1 uint8; a grey file comes back unchanged.

    Colour becomes Y = 0.299 R + 0.587 G + 0.114 B as in the compressive-sensing benchmark, see
    `dgunet.imaging.colour.opencv_luma`.

    Raises:
        DataError: as for `read_rgb`.
    """
    from dgunet.imaging.colour import opencv_luma

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
    """Read the header of one still picture; the pixels are decoded later.

    Args:
        path: of a regular file.
        formats: Pillow's names of those accepted.
        unreadable: what a damaged file is called.
        hint: what to do about a damaged or missing file.

    Raises:
        DataError: for a missing file, a folder, pipe or device, another format, a damaged header,
            more pixels than `dgunet.data.readers.limits` allow, or several frames.
    """
    hint = hint or _AGAIN
    _refuse_special(path, hint)
    if PIXELS.is_raised:  # else Pillow's limit holds, which is the same
        Image.MAX_IMAGE_PIXELS = max(PIXELS.value // 2, 1)  # it refuses twice as many
    try:
        image = Image.open(path, formats=formats)
        # Further frames of a telephone's JPEG are previews and brightness maps.
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
    except Exception as error:  # Pillow's readers raise whatever they stumble over
        raise DataError(f"{path} is {unreadable} ({_told(error)}).", hint) from error
    if frames > 1:
        image.close()
        told = f"more than {FRAMES}" if frames > FRAMES else str(frames)
        raise DataError(f"{path} has {told} frames.", "Save the frames as single images.")
    return image


def _count_frames(image: Image.Image, path: Path) -> int:
    """Frames of an opened picture; a TIFF's only up to one more than `FRAMES`.

    Pillow would count those to the end, in a time that grows with their square.
    """
    if image.format != "TIFF":
        return int(getattr(image, "n_frames", 1))
    frames = 1
    with Image.open(path, formats=["TIFF"]) as again, suppress(Exception):
        while frames <= FRAMES:
            again.seek(frames)  # fails behind the last one, or where the file is damaged
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
        raise DataError(f"{path} is not a regular file.", "Put an image in its place.")


def _opened(path: Path) -> Image.Image:
    image = open_image(path, FORMATS)
    problem = _unwanted(image)
    if problem:
        image.close()
        raise DataError(
            f"{path} {problem}.", "The benchmark's files are 8-bit RGB or grey; use the original."
        )
    return image


def _told(error: BaseException) -> str:
    return str(error) or type(error).__name__


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
    except MemoryError as error:
        raise MemoryError(str(getattr(image, "filename", "image"))) from error
    except Exception as error:  # Pillow's decoders raise whatever they stumble over
        name = getattr(image, "filename", "image")
        raise DataError(f"{name} is cut off or damaged ({_told(error)}).", _AGAIN) from error
