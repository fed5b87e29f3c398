"""One decoded image, upright, with its alpha channel, metadata, colour profile and notes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from dgunet.imaging.arrays import Array

AlphaKind = Literal["straight", "premultiplied", "unknown"]


@dataclass(frozen=True)
class UserImage:
    """A decoded image, upright.

    Attributes:
        pixels: uint8 or uint16, shape (H, W, 1) or (H, W, 3).
        alpha: opacity, shape (H, W), same type, or None. It is kept unchanged, not restored.
        exif: descriptive metadata without the orientation, which is applied to the pixels.
        icc: colour profile, or None.
        dpi: horizontal and vertical resolution in pixels per inch, or None.
        alpha_kind: whether the colours are multiplied by ``alpha``; ``unknown`` for an extra
            sample of a TIFF whose meaning the file does not state.
        notes: conversions so far, to be reported to the user.
    """

    pixels: Array
    alpha: Array | None = None
    exif: bytes = b""
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    alpha_kind: AlphaKind = "straight"
    notes: tuple[str, ...] = ()

    def noted(self, note: str, **changes: object) -> UserImage:
        """Return a copy with ``changes`` and one more note."""
        return replace(self, notes=(*self.notes, note), **changes)  # type: ignore[arg-type]

    def whole(self) -> Array:
        """Return pixels and opacity in one array, (H, W, channels)."""
        if self.alpha is None:
            return self.pixels
        return np.concatenate([self.pixels, self.alpha[..., None]], axis=2)


def upright(samples: Array, orientation: int) -> Array:
    """Apply an EXIF orientation, 1 to 8, to samples (H, W, C); the result is contiguous."""
    turned = np.swapaxes(samples, 0, 1) if orientation >= 5 else samples
    rows, columns = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}.get(
        orientation, (1, 1)
    )
    return np.ascontiguousarray(turned[::rows, ::columns])


def widened(values: Array, top: int) -> Array:
    """Scale integers in [0, ``top``] to the whole range of uint8 (``top`` <= 255) or uint16."""
    full, kind = (255, np.uint8) if top <= 255 else (65535, np.uint16)
    if top == full:
        return values.astype(kind, copy=False)
    table = np.rint(np.arange(top + 1) * (full / top)).astype(kind)
    return np.asarray(table[values])


def narrowed(values: Array) -> Array:
    """Convert uint16 to the nearest of the 256 levels of uint8: ``round(value / 257)``."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def straightened(pixels: Array, alpha: Array) -> Array:
    """Divide premultiplied colours by ``alpha``; black where it is 0."""
    top = np.iinfo(pixels.dtype).max
    divided = np.rint(pixels * (top / np.maximum(alpha, 1).astype(np.float64))[..., None])
    return np.minimum(np.where(alpha[..., None] > 0, divided, 0), top).astype(pixels.dtype)
