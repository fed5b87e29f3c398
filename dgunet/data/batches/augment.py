"""Augmentation of training patches as in the authors' released code.

An `Augmentation` draws only from the generator of its sample. MixUp, which blends the samples of a
batch, is in `dgunet.training.mixup`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance

from dgunet.data.readers.images import Pixels

CODES = 9
"""The code draws an integer from 0 to 8, both included; 0 and 8 leave the patch unchanged."""

Augmentation = Callable[[Pixels | None, Pixels, np.random.Generator], tuple[Pixels | None, Pixels]]
"""(degraded or None, clean, generator) to (degraded or None, clean), H x W x C as stored."""


def eight_symmetries(
    degraded: Pixels | None, clean: Pixels, generator: np.random.Generator
) -> tuple[Pixels | None, Pixels]:
    """Apply a random symmetry of `dihedral`: none with probability 2/9, each other one with 1/9."""
    code = int(generator.integers(CODES))
    return None if degraded is None else dihedral(degraded, code), dihedral(clean, code)


def four_symmetries(
    degraded: Pixels | None, clean: Pixels, generator: np.random.Generator
) -> tuple[Pixels | None, Pixels]:
    """Augment as in the released compressive-sensing code: reverse the rows, transpose.

    Each is applied with probability 1/2. The code's second flip reverses the only channel and has
    no effect, so four of the eight symmetries occur, each with probability 1/4.
    """
    code = int(generator.integers(4))
    return None if degraded is None else reflect(degraded, code), reflect(clean, code)


def jittered_symmetries(
    degraded: Pixels | None, clean: Pixels, generator: np.random.Generator
) -> tuple[Pixels | None, Pixels]:
    """Augment as in the released deblurring code: `draw_saturation`, then `eight_symmetries`.

    Both images of the pair get the same factor. The code's gamma jitter has an exponent of 1 and is
    omitted.
    """
    factor = draw_saturation(generator)
    if factor != 1:
        degraded = None if degraded is None else saturate(degraded, factor)
        clean = saturate(clean, factor)
    return eight_symmetries(degraded, clean, generator)


AUGMENTATIONS: dict[str, Augmentation] = {
    "derain": eight_symmetries,
    "deblur": jittered_symmetries,
    "denoise": eight_symmetries,
    "cs": four_symmetries,
}
"""Augmentation of the released code by task; the paper does not mention augmentation."""


def augmentation(name: str, task: str) -> Augmentation | None:
    """Augmentation called ``name`` for ``task``; None for ``none``.

    Raises:
        ValueError: for a name other than none, symmetries and released.
    """
    known = {"none": None, "symmetries": eight_symmetries, "released": AUGMENTATIONS[task]}
    if name not in known:
        raise ValueError(f"unknown augmentation {name!r}, known: {', '.join(known)}")
    return known[name]


def dihedral(image: Pixels, code: int) -> Pixels:
    """Flip or rotate an image H x W x C by an integer code.

    0 and 8: none; 1: rows reversed; 2: columns reversed; 3, 4, 5: rotated by 90, 180, 270 degrees
    counter-clockwise; 6: rows reversed, then rotated by 90 degrees; 7: columns reversed, then
    rotated by 90 degrees.

    Raises:
        ValueError: for a code outside 0 to 8.
    """
    if not 0 <= code < CODES:
        raise ValueError(f"augmentation code {code}, allowed: 0 to 8")
    if code in (1, 6):
        image = image[::-1]
    if code in (2, 7):
        image = image[:, ::-1]
    # np.rot90 takes ten times as long, which counts for small patches.
    if code in (3, 6, 7):
        return image.swapaxes(0, 1)[::-1]
    if code == 4:
        return image[::-1, ::-1]
    return image.swapaxes(0, 1)[:, ::-1] if code == 5 else image


def reflect(image: Pixels, code: int) -> Pixels:
    """Reverse the rows of an image H x W x C if bit 0 of the code is set, transpose it if bit 1 is.

    Raises:
        ValueError: for a code outside 0 to 3.
    """
    if not 0 <= code < 4:
        raise ValueError(f"augmentation code {code}, allowed: 0 to 3")
    if code & 1:
        image = image[::-1]
    return image.swapaxes(0, 1) if code & 2 else image


def draw_saturation(generator: np.random.Generator) -> float:
    """Saturation factor: 1 with probability 2/3, otherwise 1 + (0.2 - 0.4 u), u ~ U(0, 1)."""
    if generator.integers(3):
        return 1.0
    return 1 + (0.2 - 0.4 * float(generator.random()))


def saturate(image: Pixels, factor: float) -> Pixels:
    """Change the saturation of an RGB image as Pillow does; 0 gives grey, 1 the image itself.

    grey + factor (image - grey), clipped to 0..255, truncated to integers; grey is Pillow's luma.

    Raises:
        ValueError: if the image is not uint8 with three channels.
    """
    if image.dtype != np.uint8 or image.shape[-1] != 3:
        raise ValueError(f"{image.dtype} with {image.shape[-1]} channels, expected uint8 with 3")
    opened = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(ImageEnhance.Color(opened).enhance(factor))
