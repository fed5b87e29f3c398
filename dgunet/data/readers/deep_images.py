"""Decoding of results in any depth: 8 and 16-bit images, TIFF files of floating-point numbers."""

from __future__ import annotations

import logging
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile

from dgunet.data.readers.images import FORMATS, Pixels, open_image, read_grey, read_rgb
from dgunet.data.readers.limits import PIXELS
from dgunet.system.errors import DataError, DgunetError
from dgunet.system.reading import open_regular

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_KINDS = ("uint8", "uint16", "float16", "float32", "float64")
_GREY, _RGB = 1, 2  # photometric interpretations of TIFF; 0, white is zero, is refused

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # faults that matter are raised


def is_jpeg(path: Path) -> bool:
    """Return whether the content of ``path`` is a JPEG image, whatever its suffix."""
    return _head(path)[:2] == _JPEG


def read_any_depth(path: Path, channels: int | None = None) -> Pixels:
    """Decode an image without reducing its depth: H x W x C, uint8, uint16 or floats as stored.

    Args:
        path: PNG, JPEG, BMP or TIFF.
        channels: read an 8-bit file as RGB (3) or as full-range Y (1); None keeps grey files grey.
            Deeper files keep their channels.

    Raises:
        DataError: for a missing, damaged or too large file, several pages, an alpha channel, and
            other layouts.
    """
    head = _head(path)
    try:
        if head[:4] in _TIFF:
            deep = _deep_tiff(path)
        elif head[:8] == _PNG and head[24:25] == b"\x10":
            deep = _deep_png(path)
        else:
            deep = None
    except (DgunetError, MemoryError):
        raise
    except Exception as error:  # decoders raise errors of any type for damaged files
        raise DataError(
            f"{path} is not a readable image ({error}).", "Save it again as PNG or TIFF."
        ) from error
    if deep is None:
        if channels is None:
            with open_image(path, FORMATS) as image:
                channels = 1 if image.mode == "L" else 3
        return read_grey(path) if channels == 1 else read_rgb(path)
    pixels = np.ascontiguousarray(deep if deep.ndim == 3 else deep[..., None])
    if pixels.shape[2] in (2, 4):
        raise DataError(f"{path} has an alpha channel.", "Save it without transparency.")
    if pixels.shape[2] not in (1, 3):
        raise DataError(f"{path} has {pixels.shape[2]} channels.", "Save it as grey or RGB.")
    return pixels


def _head(path: Path) -> bytes:
    try:
        with open_regular(path) as handle:
            return handle.read(32)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.", "Check the path.") from None


def _deep_png(path: Path) -> Pixels:
    with open_image(path, ("PNG",)):  # checks the header and the number of pixels
        pass
    return np.asarray(imagecodecs.png_decode(path.read_bytes()))


def _deep_tiff(path: Path) -> Pixels | None:
    """The samples of a TIFF deeper than 8 bits; None for the others, which `read_rgb` reads."""
    with tifffile.TiffFile(path) as tif:
        page = tif.pages.first
        kind = np.dtype(page.dtype).name if page.dtype is not None else "none"
        if kind == "uint8" or page.bitspersample in (1, 4):
            return None
        if len(tif.pages) != 1:
            raise DataError(f"{path} has {len(tif.pages)} pages.", "Save them as single images.")
        if page.imagewidth * page.imagelength * page.imagedepth > PIXELS.value:
            raise DataError(
                f"{path} is too large: {page.imagewidth}x{page.imagelength} pixels.", PIXELS.hint
            )
        orientation = page.tags.get(274)
        turned = orientation is not None and orientation.value != 1
        if kind not in _KINDS or page.photometric not in (_GREY, _RGB) or turned:
            raise DataError(
                f"{path} has {kind} samples, photometric {int(page.photometric)}"
                f"{', turned' if turned else ''}.",
                "Save it upright as grey or RGB, 8 or 16 bits or floats.",
            )
        samples = page.asarray()
        if page.planarconfig == 2 and samples.ndim == 3:
            samples = np.moveaxis(samples, 0, 2)
        return np.asarray(samples.astype(samples.dtype.newbyteorder("="), copy=False))
