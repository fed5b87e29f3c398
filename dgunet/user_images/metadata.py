"""The metadata that an image keeps: descriptions (dates, location, camera), never its layout."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from PIL import Image
from PIL.ExifTags import IFD

ORIENTATION = 0x0112
DAMAGED = "damaged EXIF metadata was left out"
_DAMAGE_WARNING = re.compile(r"EXIF|orrupt|Truncated|Tag data|Metadata")
# Texts, camera, dates, resolution. The layout of a TIFF is in the same list and is never kept.
GENERAL = (0x010E, 0x010F, 0x0110, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x013B, 0x8298)
# Exposure, dates, lens. The maker note is not kept: it contains offsets into the old file.
CAMERA = (
    *(0x829A, 0x829D, 0x8822, 0x8827, 0x8830, 0x8831, 0x8832, 0x9000, 0x9003, 0x9004),
    *(0x9010, 0x9011, 0x9012, *range(0x9201, 0x920B), 0x9286, 0x9290, 0x9291, 0x9292),
    *(0xA001, 0xA20E, 0xA20F, 0xA210, 0xA217, *range(0xA401, 0xA407), *range(0xA407, 0xA40B)),
    *(0xA40C, 0xA420, *range(0xA430, 0xA436)),
)
GPS = tuple(range(32))


def descriptive_exif(given: Image.Exif) -> tuple[bytes, int, tuple[str, ...]]:
    """The kept part of ``given`` as an EXIF block, its orientation (1 to 8), and notes.

    A value that cannot be read or written again is left out with a note.
    """
    damaged = False
    kept = Image.Exif()
    parts: dict[int | None, tuple[int, ...]] = {None: GENERAL, IFD.Exif: CAMERA, IFD.GPSInfo: GPS}
    orientation = 1
    for part, allowed in parts.items():
        try:
            values: Mapping[int, Any] = given if part is None else given.get_ifd(part)
            good = _good(values, allowed)
        except Exception:  # Pillow's parser raises errors of any type for damaged blocks
            damaged = True
            continue
        damaged |= len(good) < sum(tag in values for tag in allowed)
        if part is None:
            kept.update(good)
            found = _value(values, ORIENTATION, 1)
            orientation = found if isinstance(found, int) and 1 <= found <= 8 else 1
            damaged |= orientation != found
        elif good:
            kept[part] = good
    block = _block(kept)
    return block or b"", orientation, (DAMAGED,) if damaged or block is None else ()


def exif_of(image: Image.Image) -> tuple[bytes, int, tuple[str, ...]]:
    """Apply `descriptive_exif` to an image that Pillow opened."""
    try:
        given = image.getexif()
    except Exception:  # see descriptive_exif
        return b"", 1, (DAMAGED,)
    return descriptive_exif(given)


@contextmanager
def damage_warnings() -> Iterator[list[str]]:
    """Capture Pillow's warnings; at exit, `DAMAGED` is in the list if one reports damage."""
    found: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield found
    if any(_DAMAGE_WARNING.search(str(one.message)) for one in caught):
        found.append(DAMAGED)


def resolution(values: Any) -> tuple[float, float] | None:
    """Check a pair of values in pixels per inch; None if invalid (formats limit them to 65,535)."""
    try:
        across, down = (float(value) for value in values)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    fine = all(math.isfinite(value) and 0.5 <= value < 65535 for value in (across, down))
    return (across, down) if fine else None


def read_block(block: bytes) -> Image.Exif:
    """Parse an EXIF block that `descriptive_exif` made."""
    exif = Image.Exif()
    exif.load(block)
    return exif


def _good(values: Mapping[int, Any], allowed: tuple[int, ...]) -> dict[int, Any]:
    found = {tag: _value(values, tag) for tag in allowed if tag in values}
    return {tag: value for tag, value in found.items() if value is not None and _fits(tag, value)}


def _value(values: Mapping[int, Any], tag: int, default: Any = None) -> Any:
    try:
        return values.get(tag, default)
    except Exception:  # values are parsed on access
        return None


def _fits(tag: int, value: Any) -> bool:
    """Whether Pillow can write this value and read it again."""
    alone = Image.Exif()
    alone[tag] = value
    return _block(alone) is not None


def _block(exif: Image.Exif) -> bytes | None:
    if not len(exif):
        return b""
    try:
        block = exif.tobytes()
        again = read_block(block)
        return block if all(tag in again for tag in exif) else None
    except Exception:  # a value of the wrong type or range
        return None
