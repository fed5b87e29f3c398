"""Decoding of an image by its content, not its suffix, with one reader for each format."""

from __future__ import annotations

import re
import struct
import warnings
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image

from dgunet.data.readers.images import open_image
from dgunet.data.readers.limits import PIXELS
from dgunet.evaluation.networks import TooLargeError
from dgunet.imaging.arrays import Array
from dgunet.system.errors import DataError, DgunetError, exhausts_memory
from dgunet.system.reading import open_regular
from dgunet.user_images.decoded import UserImage, upright, widened
from dgunet.user_images.metadata import damage_warnings, exif_of, resolution
from dgunet.user_images.tiff import SIGNATURES, read_tiff

FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "AVIF", "GIF", "PPM", "JPEG2000", "TGA")
"""Read by Pillow as 8 bits; deeper PNG, PPM and JPEG 2000 by imagecodecs and NumPy."""

UNREADABLE = "not a readable image"
HINT = f"Save it again as one of {', '.join(('TIFF', *FORMATS))}."

_MODES = {
    **dict.fromkeys(("1", "L", "LA"), "L"),
    **dict.fromkeys(("RGB", "RGBA", "P", "PA", "CMYK", "YCbCr", "RGBX", "RGBa", "La"), "RGB"),
}
_KEPT_COLOURS = ("RGB", "RGBA", "P", "PA", "L", "LA")


def read_image(path: Path) -> UserImage:
    """Decode ``path`` and apply its orientation; more than 8 bits become 16.

    A palette becomes RGB; CMYK becomes RGB without its profile; 1, 2 and 4 bits become 8, and 9 to
    15 bits become 16. The notes of the result state these conversions.

    Raises:
        DataError: for a missing or damaged file, several frames, or floating-point pixels.
        TooLargeError: if there is not enough memory for the pixels.
    """
    try:
        with open_regular(path) as handle:
            head = handle.read(4)
        return read_tiff(path, PIXELS.value) if head in SIGNATURES else _read_other(path)
    except DgunetError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.", "Check the path.") from None
    except Exception as error:  # decoders raise errors of any type for damaged files
        if exhausts_memory(error):
            raise TooLargeError(
                f"{path}: there is not enough memory to decode it ({_size(path)}).",
                "Give this process more memory, or cut the image into parts.",
            ) from error
        reason = str(error) or type(error).__name__
        raise DataError(f"{path} is {UNREADABLE} ({reason}).", HINT) from error


def _read_other(path: Path) -> UserImage:
    with (
        damage_warnings() as warned,
        open_image(path, FORMATS, unreadable=UNREADABLE, hint=HINT) as image,
    ):
        exif, orientation, notes = exif_of(image)
        keeps_profile = image.mode in _KEPT_COLOURS or image.mode.startswith("I")
        icc = image.info.get("icc_profile")
        if icc and not keeps_profile:
            icc, notes = None, (*notes, "its profile, which is for other colours, was left out")
        facts = UserImage(np.empty(0), None, exif, icc or None, resolution(image.info.get("dpi")))
        samples, more = _deep(path, image) or _shallow(image)
    notes = tuple(dict.fromkeys((*warned, *notes)))
    whole = upright(samples, orientation)
    pixels, alpha = (whole[..., :-1], whole[..., -1]) if whole.shape[2] in (2, 4) else (whole, None)
    return UserImage(
        np.ascontiguousarray(pixels), alpha, facts.exif, facts.icc, facts.dpi, notes=(*notes, *more)
    )


def _deep(path: Path, image: Image.Image) -> tuple[Array, tuple[str, ...]] | None:
    """Decode a file of more than 8 bits to 16-bit samples (H, W, C); None for other files.

    Pillow would reduce them to 8 bits silently.
    """
    if image.format == "PNG":
        content = path.read_bytes()
        if content[24] != 16:  # the bit depth of the header
            return None
        return np.atleast_3d(imagecodecs.png_decode(content)), ()
    if image.format == "PPM":
        return _deep_pnm(path.read_bytes(), image.size)
    if image.format == "JPEG2000":
        return _deep_jpeg2000(path.read_bytes())
    return None


_PNM = re.compile(rb"P([2356])" + rb"(?:\s|#[^\n]*\n)+(\d+)" * 3 + rb"(?:#[^\n]*\n)?\s")


def _deep_pnm(content: bytes, size: tuple[int, int]) -> tuple[Array, tuple[str, ...]] | None:
    found = _PNM.match(content)
    if found is None or int(found[4]) <= 255:
        return None
    top, kind = int(found[4]), found[1]
    if top > 65535:
        raise ValueError(f"its largest value is {top}; 8 and 16 bits are supported")
    shape = (size[1], size[0], 3 if kind in b"36" else 1)
    if kind in b"56":
        values = np.frombuffer(content, ">u2", int(np.prod(shape)), found.end())
    else:
        words = re.sub(rb"#[^\n]*", b"", content[found.end() :]).split()
        values = np.array(words[: int(np.prod(shape))], np.int64)
    if values.size != np.prod(shape) or values.min() < 0 or values.max() > top:
        raise ValueError("its pixels are cut off or exceed its largest value")
    notes = () if top == 65535 else (_scaled(top.bit_length()),)
    return widened(values.astype(np.uint16).reshape(shape), top), notes


def _deep_jpeg2000(content: bytes) -> tuple[Array, tuple[str, ...]] | None:
    start = content.find(b"\xff\x4f\xff\x51")  # start of the code stream and its size marker
    if start < 0:
        return None
    (components,) = struct.unpack_from(">H", content, start + 40)
    depths = {content[start + 42 + 3 * component] for component in range(components)}
    if max(depths) < 8:  # the depth minus one; the top bit is the sign
        return None
    bits = max(depths) + 1
    if len(depths) > 1 or bits > 16 or not 1 <= components <= 4:
        raise ValueError("its samples are signed, of several depths, or too many")
    decoded = np.atleast_3d(imagecodecs.jpeg2k_decode(content))
    notes = () if bits == 16 else (_scaled(bits),)
    return widened(np.minimum(decoded, 2**bits - 1), 2**bits - 1), notes


def _scaled(bits: int) -> str:
    return f"{bits} bits were scaled to 16"


def _shallow(image: Image.Image) -> tuple[Array, tuple[str, ...]]:
    """Decode to 8-bit samples (H, W, C)."""
    if image.mode not in _MODES:
        raise ValueError("its pixels are 32-bit; 8 and 16 bits are supported")
    notes = {
        "1": ("1 bit was scaled to 8",),
        "P": ("its palette became RGB",),
        "PA": ("its palette became RGB",),
        "CMYK": ("CMYK inks became RGB",),
    }.get(image.mode, ())
    if image.format == "AVIF" and (bits := _avif_bits(image)) > 8:
        notes = (*notes, f"{bits} bits were scaled to 8")
    mode = _MODES[image.mode] + ("A" if image.has_transparency_data else "")
    return np.atleast_3d(np.asarray(image.convert(mode))), notes


def _avif_bits(image: Image.Image) -> int:
    """The depth in bits of an AVIF's ``pixi`` box; 8 without one."""
    with Path(str(image.filename)).open("rb") as handle:  # type: ignore[attr-defined]
        found = re.search(rb"pixi\0{4}[\x01-\x04](.)", handle.read(65536), re.DOTALL)
    return found[1][0] if found else 8


def _size(path: Path) -> str:
    try:
        with warnings.catch_warnings(), Image.open(path, formats=(*FORMATS, "TIFF")) as image:
            warnings.simplefilter("ignore")
            needed = image.width * image.height * len(image.getbands()) * 2 / 1e9
            return f"{image.width}x{image.height}, about {needed:.2f} GB"
    except Exception:  # not enough memory for that either
        return f"{path.stat().st_size:,} bytes"
