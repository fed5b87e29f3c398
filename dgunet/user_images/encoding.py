"""Encoding of an image in the format of its suffix, verified by reading the file back."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image

from dgunet.evaluation.networks import TooLargeError
from dgunet.imaging.arrays import Array
from dgunet.system.errors import DataError, DgunetError, exhausts_memory
from dgunet.system.files import atomic_path
from dgunet.user_images.decoded import UserImage, narrowed, straightened
from dgunet.user_images.decoding import read_image
from dgunet.user_images.tiff import write_tiff

LOSS = 8.0
"""Largest allowed mean difference after encoding in a lossy format, in levels of 255.

Noise, the worst case, differs by 3 levels in a JPEG of quality 95.
"""


@dataclass(frozen=True)
class Format:
    """The capabilities of a file format; ``options`` are for Pillow."""

    name: str
    deep: bool = False
    alpha: bool = False
    grey: bool = True
    metadata: bool = True
    exact: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)


_JPEG = Format("JPEG", exact=False, options={"quality": 95, "subsampling": 0})
_TIFF = Format("TIFF", deep=True, alpha=True)
WRITABLE = {
    ".png": Format("PNG", deep=True, alpha=True),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".bmp": Format("BMP", metadata=False),
    ".webp": Format("WEBP", alpha=True, grey=False, options={"lossless": True, "exact": True}),
    ".avif": Format(
        *("AVIF", False, True, False, True, False), {"quality": 90, "subsampling": "4:4:4"}
    ),
}


def format_of(path: Path) -> Format:
    """The format for the suffix of ``path``.

    Raises:
        DataError: if no image can be written with this suffix.
    """
    found = WRITABLE.get(path.suffix.lower())
    if found is None:
        suffix = path.suffix or "a name without suffix"
        raise DataError(
            f"{path}: {suffix} is not a format that can be written.",
            f"Use one of {', '.join(WRITABLE)}.",
        )
    return found


def fit_to_format(image: UserImage, path: Path) -> UserImage:
    """Convert ``image`` to what the format of ``path`` can hold, with a note for every loss.

    16 bits become the nearest levels of 8 bits; an alpha channel that is opaque everywhere is
    removed.

    Raises:
        DataError: for transparency in a format without it.
    """
    form = format_of(path)
    if image.alpha is not None and form.name != "TIFF":
        image = _with_straight_alpha(image, image.alpha, form)
    if image.alpha is not None and not form.alpha:
        if not _is_opaque(image.alpha):
            raise DataError(
                f"{path} would lose its transparency: {form.name} has none.",
                "Use the suffix .png, .tif or .webp.",
            )
        image = image.noted("its opacity was left out: it is full everywhere", alpha=None)
    if image.pixels.dtype == np.uint16 and not form.deep:
        alpha = None if image.alpha is None else narrowed(image.alpha)
        note = f"16 bits were scaled to 8, the most that {form.name} supports"
        image = image.noted(note, pixels=narrowed(image.pixels), alpha=alpha)
    if image.pixels.shape[2] == 1 and not form.grey:
        image = replace(image, pixels=np.repeat(image.pixels, 3, axis=2))
    if not form.metadata and (image.icc or image.exif):
        note = f"metadata and profile were left out: {form.name} does not support them"
        image = image.noted(note, icc=None, exif=b"")
    if form.name == "JPEG" and len(image.exif) > 65533:
        image = image.noted("metadata was left out: it is too large for JPEG", exif=b"")
    if form.name == "PNG" and image.pixels.dtype == np.uint16 and not _is_profile(image.icc):
        image = image.noted("its colour profile is invalid and was left out", icc=None)
    return image


def _with_straight_alpha(image: UserImage, alpha: Array, form: Format) -> UserImage:
    if image.alpha_kind == "unknown":
        note = f"an extra sample of unknown meaning was left out: {form.name} does not support it"
        return image.noted(note, alpha=None, alpha_kind="straight")
    if image.alpha_kind == "premultiplied":
        note = "colours were divided by their opacity"
        straight = straightened(image.pixels, alpha)
        return image.noted(note, pixels=straight, alpha_kind="straight")
    return image


def write_image(path: Path, image: UserImage) -> tuple[str, ...]:
    """Encode in the format of the suffix of ``path``, and read the file back before renaming it.

    JPEG has quality 95 without chroma subsampling; WebP is lossless; TIFF is compressed without
    loss. Metadata and profile are written where the format has them.

    Returns:
        The notes of ``image`` and of the conversions for the format.

    Raises:
        DataError: if the format cannot hold the image, the encoder fails, or the written file
            reads back differently. No file is left in these cases.
        TooLargeError: if there is not enough memory.
    """
    form = format_of(path)
    image = fit_to_format(image, path)
    with atomic_path(path) as temporary:
        try:
            _encode(temporary, image, form)
            _read_back(temporary, image, form)
        except DgunetError as error:
            text = error.message.replace(str(temporary), str(path))
            raise DataError(f"{path} was not written: {text}", error.hint) from error
        except OSError as error:
            if error.errno is not None:  # from the disk; encoders raise OSError without a number
                raise
            raise _failed(path, form, error) from error
        except Exception as error:  # encoders raise errors of any type for sizes and values
            if exhausts_memory(error):
                raise TooLargeError(
                    f"{path}: there is not enough memory to encode it.",
                    "Give this process more memory, or cut the image into parts.",
                ) from error
            raise _failed(path, form, error) from error
    return image.notes


def _failed(path: Path, form: Format, error: Exception) -> DataError:
    reason = str(error) or type(error).__name__
    return DataError(f"{path} cannot be written as {form.name} ({reason}).", "Choose PNG or TIFF.")


def _encode(path: Path, image: UserImage, form: Format) -> None:
    if form.name == "TIFF":
        write_tiff(path, image)
    elif image.pixels.dtype == np.uint16:
        path.write_bytes(_deep_png(image))
    else:
        whole = image.whole()
        encoded = Image.fromarray(whole[..., 0] if whole.shape[2] == 1 else whole)
        facts = {"dpi": image.dpi} if image.dpi else {}
        if form.metadata:
            facts |= {"exif": image.exif, "icc_profile": image.icc}  # type: ignore[dict-item]
        encoded.save(path, format=form.name, **facts, **form.options)


def _deep_png(image: UserImage) -> bytes:
    """Encode a 16-bit PNG with profile, resolution and metadata before the pixels."""
    whole = np.ascontiguousarray(image.whole())
    encoded = imagecodecs.png_encode(whole if whole.shape[2] > 1 else whole[..., 0], level=6)
    chunks = b""
    if image.icc:
        chunks += _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(image.icc))
    if image.dpi:
        across, down = (round(value / 0.0254) for value in image.dpi)
        chunks += _chunk(b"pHYs", struct.pack(">IIB", across, down, 1))
    if image.exif:
        chunks += _chunk(b"eXIf", image.exif.removeprefix(b"Exif\0\0"))
    head = 8 + 25  # signature and header
    return bytes(encoded[:head]) + chunks + bytes(encoded[head:])


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def _is_profile(icc: bytes | None) -> bool:
    """Whether PNG readers accept the profile; libpng drops the block of an invalid one."""
    return not icc or icc[36:40] == b"acsp"


def _is_opaque(alpha: Array) -> bool:
    return bool((alpha == np.iinfo(alpha.dtype).max).all())


def _read_back(path: Path, meant: UserImage, form: Format) -> None:
    """Refuse a written file that reads back differently from the intended image.

    Raises:
        DataError: naming what differs.
    """
    again = read_image(path)
    problem = ""
    if again.pixels.shape != meant.pixels.shape or again.pixels.dtype != meant.pixels.dtype:
        problem = f"as {again.pixels.dtype} {again.pixels.shape}, not {meant.pixels.dtype} "
        problem += f"{meant.pixels.shape}"
    elif not _agree(again.pixels, meant.pixels, form):
        problem = "with other pixels"
    elif not _same_alpha(again.alpha, meant.alpha, form):
        problem = "with another opacity"
    elif form.metadata and again.icc != meant.icc:
        problem = "with another colour profile"
    if problem:
        raise DataError(f"its {form.name} reads back {problem}.", "Choose PNG or TIFF.")


def _agree(again: Array, meant: Array, form: Format) -> bool:
    if form.exact:
        return bool(np.array_equal(again, meant))
    strips = range(0, len(meant), 256)
    off = 0.0
    for start in strips:
        rows = slice(start, start + 256)
        off += float(np.abs(again[rows] - meant[rows].astype(np.int16)).sum())
    return off <= LOSS * meant.size


def _same_alpha(again: Array | None, meant: Array | None, form: Format) -> bool:
    if again is None or meant is None:
        # Some encoders omit an alpha channel that is opaque everywhere.
        return all(one is None or _is_opaque(one) for one in (again, meant))
    return _agree(again, meant, form)
