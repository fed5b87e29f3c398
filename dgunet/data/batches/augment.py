"""What training does to a patch pair before the network sees it, as the released recipes have it.

An `Augmentation` draws from the generator of its sample and nothing else. MixUp, which blends the
samples of a batch, is `dgunet.training.mixup`'s.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance

from dgunet.data.readers.images import Pixels

CODES = 9
"""The recipe draws an integer from 0 to 8, both ends included; 0 and 8 leave the patch alone."""

Augmentation = Callable[[Pixels | None, Pixels, np.random.Generator], tuple[Pixels | None, Pixels]]
"""(degraded or None, clean, generator) to (degraded or None, clean), H x W x C as stored."""


def eight_symmetries(
    degraded: Pixels | None, clean: Pixels, generator: np.random.Generator
) -> tuple[Pixels | None, Pixels]:
    """A flip or turn of `dihedral`: none in two of nine cases, each other in one."""
    code = int(generator.integers(CODES))
    return None if degraded is None else dihedral(degraded, code), dihedral(clean, code)


def four_symmetries(
    degraded: Pixels | None, clean: Pixels, generator: np.random.Generator
) -> tuple[Pixels | None, Pixels]:
    """The released compressive-sensing recipe: rows reversed in half the cases, then transposed.

    Its second flip reverses the only channel and does nothing, so that four of the eight symmetries
    occur, each in one of four cases.
    """
    code = int(generator.integers(4))
    return None if degraded is None else reflect(degraded, code), reflect(clean, code)


def jittered_symmetries(
    degraded: Pixels | None, clean: Pixels, generator: np.random.Generator
) -> tuple[Pixels | None, Pixels]:
    """The released deblurring recipe: `draw_saturation` for both halves, then `eight_symmetries`.

    Its gamma jitter has an exponent of 1 and is left out.
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
"""Of the released recipes, by task; the paper says nothing of augmentation."""


def augmentation(name: str, task: str) -> Augmentation | None:
    """What ``name`` means for ``task``: nothing, the eight symmetries, or the released recipe's.

    Raises:
        ValueError: for a name other than none, symmetries and released.
    """
    known = {"none": None, "symmetries": eight_symmetries, "released": AUGMENTATIONS[task]}
    if name not in known:
        raise ValueError(f"augmentation {name!r}, known are {', '.join(known)}")
    return known[name]


def dihedral(image: Pixels, code: int) -> Pixels:
    """Flip or turn an image H x W x C by the recipes' code.

    0 and 8: none; 1: rows reversed; 2: columns reversed; 3, 4, 5: one, two, three quarter turns
    counter-clockwise; 6: rows reversed, then a quarter turn; 7: columns reversed, then a quarter
    turn.

    Raises:
        ValueError: for a code outside 0 to 8.
    """
    if not 0 <= code < CODES:
        raise ValueError(f"augmentation code {code}, allowed: 0 to 8")
    if code in (1, 6):
        image = image[::-1]
    if code in (2, 7):
        image = image[:, ::-1]
    turns = {3: 1, 4: 2, 5: 3, 6: 1, 7: 1}.get(code, 0)
    return np.rot90(image, turns)


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
    """1 in two of three cases, otherwise 1 + (0.2 - 0.4 u) with u uniform: 0.8 to 1.2."""
    if generator.integers(3):
        return 1.0
    return 1 + (0.2 - 0.4 * float(generator.random()))


def saturate(image: Pixels, factor: float) -> Pixels:
    """An RGB image with its colours moved from grey (0) past what they are (1), as Pillow does it.

    grey + factor (image - grey), cut to 0..255 and to whole levels; grey is Pillow's luma.

    Raises:
        ValueError: if the image is not uint8 with three channels.
    """
    if image.dtype != np.uint8 or image.shape[-1] != 3:
        raise ValueError(f"{image.dtype} with {image.shape[-1]} channels, expected uint8 with 3")
    picture = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(ImageEnhance.Color(picture).enhance(factor))
