"""TIFF, read and written with tifffile, for all common layouts."""

from __future__ import annotations

import itertools
import logging
import math
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image
from PIL.ExifTags import IFD
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from dgunet.imaging.arrays import Array
from dgunet.system.errors import DataError
from dgunet.user_images.decoded import AlphaKind, UserImage, upright, widened
from dgunet.user_images.metadata import (
    DAMAGED,
    GENERAL,
    damage_warnings,
    descriptive_exif,
    read_block,
    resolution,
)

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_DESCRIPTION = 0x010E
_RESOLUTION = (0x011A, 0x011B, 0x0128)
_ICC = 34675
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3}
"""Number of colour samples by supported photometric interpretation."""
_JPEG = (7, 33007)
_ALPHA: dict[int, AlphaKind] = {0: "unknown", 1: "premultiplied", 2: "straight"}
_AGAIN = "Save it again as RGB or grey, 8 or 16 bits."

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # faults that matter are raised


def read_tiff(path: Path, most_pixels: float) -> UserImage:
    """Decode a TIFF or BigTIFF.

    Supports strips and tiles, interleaved or planar, with any compression that tifffile supports;
    grey, RGB, a palette, CMYK or YCbCr; 1 to 16 bits; and one extra sample.

    Args:
        path: the file.
        most_pixels: limit in pixels; larger pages are refused before they are decoded.

    Raises:
        DataError: for several pages (except smaller previews), floating point and other layouts.
        Exception: any error of tifffile for a damaged file.
    """
    with tifffile.TiffFile(path) as tif:
        page, notes = _main_page(tif, path)
        if page.imagewidth * page.imagelength > most_pixels:
            raise DataError(
                f"{path} is too large ({page.imagewidth}x{page.imagelength} pixels).",
                "Cut it into parts first.",
            )
        _refuse_layout(page, path)
        _refuse_gaps(page, path, tif.filehandle.size)
        exif, orientation, damage = _metadata(tif, page, path)
        colours, alpha, more = _colours(page, path, _samples(page))
        keeps_profile = page.photometric in (0, 1, 2, 3)
        icc = _tag(page, _ICC) if keeps_profile else None
        image = UserImage(
            upright(colours, orientation),
            None if alpha is None else upright(alpha, orientation)[..., 0],
            exif,
            icc if isinstance(icc, bytes) else None,
            _dpi(page),
            _ALPHA[_alpha_kind(page)],
            (*notes, *damage, *more),
        )
        return image


def write_tiff(path: Path, image: UserImage) -> None:
    """Encode losslessly (deflate), one page, interleaved strips, with profile and metadata."""
    whole = image.whole()
    exif = read_block(image.exif)
    parts = {int(tag): exif.get_ifd(tag) for tag in (IFD.Exif, IFD.GPSInfo) if exif.get_ifd(tag)}
    general = [
        (tag, 2, 0, str(exif[tag]).encode() + b"\0", True)
        for tag in GENERAL
        if tag not in _RESOLUTION and isinstance(exif.get(tag), str)
    ]
    codes = {kind: code for code, kind in _ALPHA.items()}
    tifffile.imwrite(
        path,
        whole if whole.shape[2] > 1 else whole[..., 0],
        photometric="rgb" if image.pixels.shape[2] == 3 else "minisblack",
        planarconfig="contig" if whole.shape[2] > 1 else None,
        extrasamples=None if image.alpha is None else [codes[image.alpha_kind]],
        compression="adobe_deflate",
        predictor=True,
        iccprofile=image.icc,
        resolution=image.dpi,
        resolutionunit="inch" if image.dpi else None,
        software=False,
        metadata=None,
        byteorder="<",
        extratags=general,
    )
    if parts:
        _append(path, parts)


def _append(path: Path, parts: dict[int, dict[int, Any]]) -> None:
    """Append the EXIF and GPS directories, which tifffile does not write, to the file.

    The page's own directory, extended by their offsets, moves to the end as well; the pixels stay.
    """
    with path.open("r+b") as handle:
        head = handle.read(8)
        if not head.startswith(b"II*\0"):
            return  # a BigTIFF of over 4 GB is written without them
        handle.seek(*struct.unpack("<4xI", head))
        (count,) = struct.unpack("<H", handle.read(2))
        entries = [handle.read(12) for _ in range(count)]
        for tag, values in parts.items():
            start = handle.seek(0, os.SEEK_END)
            start += handle.write(b"\0" * (start % 2))
            directory = ImageFileDirectory_v2(b"II*\0\x08\0\0\0", group=tag)
            for key, value in values.items():
                directory[key] = value
            handle.write(directory.tobytes(start))
            entries.append(struct.pack("<HHII", tag, 4, 1, start))
        entries.sort(key=lambda entry: struct.unpack("<H", entry[:2]))
        start = handle.seek(0, os.SEEK_END)
        start += handle.write(b"\0" * (start % 2))
        handle.write(struct.pack("<H", len(entries)) + b"".join(entries) + b"\0" * 4)
        handle.seek(4)
        handle.write(struct.pack("<I", start))


def _main_page(tif: tifffile.TiffFile, path: Path) -> tuple[Any, tuple[str, ...]]:
    """The one page of full size; previews and masks are left out with a note."""
    pages: list[Any] = list(itertools.islice(tif.pages, 1000))
    full = [page for page in pages if not page.subfiletype & 5]
    if not full:  # a camera's file: the first page is a preview, the image is in its subpages
        subpages = (page.pages for page in pages if page.pages is not None)
        full = [page for some in subpages for page in some if not page.subfiletype & 5]
    full = [page for page in full if not any(_is_preview(page, other) for other in full)]
    stacked = (tif.imagej_metadata or {}).get("images", 1) if tif.is_imagej else 1
    count = max(len(full), int(stacked))
    if count != 1:
        raise DataError(f"{path} has {count or len(pages)} frames.", "Save each frame as an image.")
    left = sum(page is not full[0] for page in pages)
    return full[0], ("a preview or mask page was left out",) if left else ()


def _is_preview(page: Any, other: Any) -> bool:
    """Whether ``page`` has at most half the sides of ``other`` and its aspect ratio.

    Not every program marks previews as such.
    """
    width, height = page.imagewidth, page.imagelength
    if 2 * width > other.imagewidth or 2 * height > other.imagelength:
        return False
    # A side was rounded to whole pixels.
    off = abs(width * other.imagelength - height * other.imagewidth)
    return bool(off <= max(other.imagewidth, other.imagelength))


def _refuse_layout(page: Any, path: Path) -> None:
    colours = _COLOURS.get(int(page.photometric))
    bits = page.bitspersample
    kind = {1: "", 2: "signed ", 3: "floating-point "}.get(page.sampleformat, "other ")
    extra = 0 if colours is None else page.samplesperpixel - colours
    problem = ""
    if colours is None:
        problem = f"holds {getattr(page.photometric, 'name', page.photometric)} samples"
    elif kind or not isinstance(bits, int) or not 1 <= bits <= 16:
        problem = f"has pixels of {kind}{bits}-bit; 8 and 16 bits are supported"
    elif page.imagedepth != 1:
        problem = f"is a volume of {page.imagedepth} layers"
    elif extra < 0 or extra > (1 if page.photometric in (0, 1, 2) else 0):
        problem = f"has {page.samplesperpixel} samples per pixel"
    elif page.photometric == 5 and (bits not in (8, 16) or _tag(page, 332, 1) != 1):
        problem = "has inks other than CMYK of 8 or 16 bits"
    elif page.photometric == 6 and not _is_plain_luma(page):
        problem = "has YCbCr samples in an unsupported encoding"
    elif bits == 1 and page.samplesperpixel > 1:
        problem = "has several samples of 1 bit"
    if problem:
        raise DataError(f"{path} {problem}.", _AGAIN)


def _is_plain_luma(page: Any) -> bool:
    """Whether YCbCr is decoded by JPEG, or has 8 bits, full range and no subsampling."""
    if page.bitspersample != 8:
        return False
    if page.compression in _JPEG and page.planarconfig == 1:
        return True
    reference = _tag(page, 532)
    full = reference is None or _ratios(reference) == [0, 255, 128, 255, 128, 255]
    weights = _tag(page, 529)
    usual = weights is None or np.allclose(_ratios(weights), (0.299, 0.587, 0.114), atol=1e-3)
    lossless = page.compression in (1, 5, 8, 32773, 32946)
    return bool(full and usual and lossless and not page.is_subsampled)


def _ratios(values: Any) -> list[float]:
    return [a / b if b else 0.0 for a, b in zip(values[::2], values[1::2], strict=True)]


def _refuse_gaps(page: Any, path: Path, size: int) -> None:
    """Refuse a file with missing parts, which tifffile would fill with black."""
    offsets, counts = page.dataoffsets, page.databytecounts
    places = zip(offsets, counts, strict=False)
    cut = any(
        not offset or not count or offset + (count if page.compression != 1 else 1) > size
        for offset, count in places
    )
    if cut or len(offsets) < math.prod(page.chunked) or len(offsets) != len(counts):
        raise DataError(f"{path} is not a readable image (parts are missing).", "Save it again.")


def _samples(page: Any) -> Array:
    """Decode the page to (H, W, samples) without conversion."""
    decoded = page.asarray(squeeze=False, maxworkers=1)[:, 0]  # planes, rows, columns, samples
    if decoded.shape[0] > 1:
        return np.moveaxis(decoded[..., 0], 0, -1)
    return np.asarray(decoded[0])


def _colours(page: Any, path: Path, samples: Array) -> tuple[Array, Array | None, tuple[str, ...]]:
    """Convert to RGB or grey, and return the extra sample and notes as well."""
    bits, kind = page.bitspersample, int(page.photometric)
    if kind == 3:
        return _from_palette(page, path, samples)
    if kind == 5:
        dropped = " without their profile" if _tag(page, _ICC) else ""
        return _from_inks(samples), None, (f"CMYK inks became RGB{dropped}",)
    if kind == 6 and not (page.compression in _JPEG and page.planarconfig == 1):
        size = samples.shape[1], samples.shape[0]
        luma = Image.frombytes("YCbCr", size, np.ascontiguousarray(samples).tobytes())
        return np.asarray(luma.convert("RGB")), None, ("YCbCr became RGB",)
    given = "1 bit was" if bits == 1 else f"{bits} bits were"
    notes = () if bits in (8, 16) else (f"{given} scaled to {8 if bits < 8 else 16}",)
    whole = widened(samples.astype(np.uint8) if bits == 1 else samples, 2**bits - 1)
    count = _COLOURS[kind]
    colours, alpha = whole[..., :count], whole[..., count:]
    if kind == 0:
        colours = np.iinfo(colours.dtype).max - colours
    return colours, alpha if alpha.shape[2] else None, notes


def _from_palette(page: Any, path: Path, samples: Array) -> tuple[Array, None, tuple[str, ...]]:
    palette = np.asarray(page.colormap)
    if palette.ndim != 2 or palette.shape[0] != 3 or int(samples.max()) >= palette.shape[1]:
        raise DataError(
            f"{path} is not a readable image: its palette is too short.", "Save it again."
        )
    # The standard requires 16 bits; some programs write 8.
    eight = palette if palette.max() < 256 else palette >> 8
    exact = eight is palette or not (palette - eight * 257).any() or not (palette & 255).any()
    note = "its palette became RGB" if exact else "its 16-bit palette became 8-bit RGB"
    return np.asarray(eight.T.astype(np.uint8)[samples[..., 0].astype(np.intp)]), None, (note,)


def _from_inks(samples: Array) -> Array:
    """Convert CMYK to RGB by (1 - ink)(1 - black)."""
    if samples.dtype == np.uint8:
        size = samples.shape[1], samples.shape[0]
        inks = Image.frombytes("CMYK", size, np.ascontiguousarray(samples).tobytes())
        return np.asarray(inks.convert("RGB"))
    light = 65535 - samples.astype(np.uint64)
    return ((light[..., :3] * light[..., 3:] + 32767) // 65535).astype(np.uint16)


def _alpha_kind(page: Any) -> int:
    """0 unknown, 1 premultiplied, 2 straight; an extra sample without a stated meaning is 2."""
    code = int(page.extrasamples[0]) if page.extrasamples else 2
    return code if code in _ALPHA else 0


def _metadata(tif: tifffile.TiffFile, page: Any, path: Path) -> tuple[bytes, int, tuple[str, ...]]:
    exif = Image.Exif()
    exif.bigtiff = tif.is_bigtiff
    exif.endian = tif.byteorder
    try:
        with path.open("rb") as handle, damage_warnings() as warned:
            exif.load_from_fp(handle, page.offset)
            # Microscopy programs store the layout of the pixels there, as text.
            exif.pop(_DESCRIPTION, None)
            block, orientation, notes = descriptive_exif(exif)
        return block, orientation, notes or tuple(warned)
    except Exception:  # Pillow's parser raises errors of any type for damaged blocks
        found = _tag(page, 274, 1)
        turned = found if isinstance(found, int) and 1 <= found <= 8 else 1
        return b"", turned, (DAMAGED,)


def _dpi(page: Any) -> tuple[float, float] | None:
    unit = {2: 1.0, 3: 2.54}.get(int(_tag(page, 296, 2)))
    try:
        pairs = [_tag(page, 282), _tag(page, 283)]
        return resolution([a / b * unit for a, b in pairs]) if unit else None
    except (TypeError, ValueError, ZeroDivisionError):
        return None


def _tag(page: Any, code: int, default: Any = None) -> Any:
    tag = page.tags.get(code)
    return default if tag is None else tag.value
