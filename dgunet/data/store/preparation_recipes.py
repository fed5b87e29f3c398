"""Preparation of the training sets, as described in the paper and as done by the authors' code.

A recipe defines which records a store has and how many samples an epoch draws from them. Loss,
learning rate and batch size belong to `dgunet.training`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from dgunet.data.catalogue.entries import DatasetInfo, dataset
from dgunet.data.readers.images import FileImage, Pixels, read_rgb
from dgunet.data.readers.pairing import Pair
from dgunet.data.store.records import LoadedPair
from dgunet.system.errors import DataError

RecipeName = Literal["whole", "paper", "released"]


class RecordCut(Protocol):
    """A rule that makes the records of a store from one pair of images."""

    @property
    def count(self) -> int:
        """Number of records per pair."""

    def pixels(self, height: int, width: int) -> int:
        """Pixels per channel of all records of one half, for an image of that size."""

    def __call__(self, pair: LoadedPair) -> Iterator[LoadedPair]:
        """Yield the records; they depend only on the pair."""


@dataclass(frozen=True)
class WholeImages:
    """Keep every image whole; training crops its patches from the store."""

    count: int = 1

    def pixels(self, height: int, width: int) -> int:
        """Pixels of the image."""
        return height * width

    def __call__(self, pair: LoadedPair) -> Iterator[LoadedPair]:
        """Yield the pair itself."""
        yield pair


@dataclass(frozen=True)
class RandomPatches:
    """``count`` square patches at random positions, the same for both images of a pair.

    For each patch a row and then a column are drawn from 0 to size - side - 1. The last position is
    never drawn, as in the released script. That script draws without a seed; here the positions are
    seeded with the pair's name.

    Attributes:
        count: patches per pair.
        side: side of a patch in pixels.
    """

    count: int
    side: int

    def pixels(self, height: int, width: int) -> int:
        """Pixels of all patches; independent of the size of the image."""
        return self.count * self.side**2

    def __call__(self, pair: LoadedPair) -> Iterator[LoadedPair]:
        """Yield the patches with the names ``<pair>_001`` and so on.

        Raises:
            DataError: if the image is not larger than a patch.
        """
        height, width = next(a for a in (pair.input, pair.target) if a is not None).shape[:2]
        if min(height, width) <= self.side:
            raise DataError(
                f"{pair.id} is {width}x{height}, too small for patches of"
                f" {self.side}x{self.side} at random positions.",
                "Use the full images, or omit --recipe to keep the images whole.",
            )
        corners = self.corners(pair.id, height, width)
        for number, (top, left) in enumerate(corners.tolist(), start=1):
            rows, columns = slice(top, top + self.side), slice(left, left + self.side)
            degraded, clean = (
                None if image is None else np.ascontiguousarray(image[rows, columns])
                for image in (pair.input, pair.target)
            )
            name = f"{pair.id}_{number:0{len(str(self.count))}d}"
            yield replace(pair, id=name, input=degraded, target=clean)

    def corners(self, name: str, height: int, width: int) -> NDArray[np.int64]:
        """Top left corners (row, column) of the patches of one image, count x 2."""
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        limits = [height - self.side, width - self.side]
        return np.random.default_rng(seed).integers(0, limits, (self.count, 2))


@dataclass(frozen=True)
class StudioLuma(FileImage):
    """Studio-swing luma of a colour image, as the released compressive-sensing code trains on it.

    Y = (16 + 65.481 R + 128.553 G + 24.966 B) / 255 with R, G, B in [0, 1], float32, not rounded:
    16/255 for black, 235/255 for white. A grey file keeps its full range and its type, uint8.
    """

    def load(self) -> Pixels:
        """Decode to H x W x 1, float32 or uint8."""
        if self.is_grey():
            return super().load()
        weights = np.array([65.481, 128.553, 24.966]) / 255
        luma = (read_rgb(self.path) @ weights + 16) / 255
        return luma.astype(np.float32)[..., None]

    def is_grey(self) -> bool:
        """Whether the file has one channel, according to its header."""
        try:
            return self.kind().endswith(" L")
        except DataError:
            return True  # the error is raised again when the file is decoded


@dataclass(frozen=True)
class PreparationRecipe:
    """How the training sets of one task are prepared, and what an epoch draws from them.

    Attributes:
        name: name in the manifest and in ``--recipe``.
        sets: catalogue names of the training sets; an epoch goes through all of them.
        cut: records made of each pair.
        crop: side of the square that training crops from a record, in pixels.
        draws: crops of every record in an epoch.
        luma: ``file`` decodes to full-range Y (grey tasks) or RGB, ``studio`` is `StudioLuma`.
    """

    name: RecipeName
    sets: tuple[str, ...]
    cut: RecordCut
    crop: int
    draws: int = 1
    luma: Literal["file", "studio"] = "file"

    @property
    def records(self) -> int:
        """Records of all stores together, for the published training sets."""
        return sum(dataset(name).pairs for name in self.sets) * self.cut.count

    @property
    def samples(self) -> int:
        """Samples per epoch."""
        return self.records * self.draws

    def steps(self, batch: int) -> int:
        """Steps per epoch; the last batch may be smaller."""
        return -(-self.samples // batch)

    def with_luma(self, pair: Pair) -> Pair:
        """``pair`` with its target decoded according to ``luma``."""
        if self.luma == "file" or not isinstance(pair.target, FileImage):
            return pair
        return replace(pair, target=StudioLuma(pair.target.path, grey=True))


WHOLE = PreparationRecipe("whole", (), WholeImages(), crop=0)
"""Any dataset with every image kept whole, for evaluation and for training as in the paper."""

RECIPES: dict[str, tuple[PreparationRecipe, PreparationRecipe]] = {
    # Section 4.1: 256 x 256 patches cropped at random from the training images.
    "derain": (
        PreparationRecipe("paper", ("Rain13K",), WholeImages(), crop=256),
        PreparationRecipe("released", ("Rain13K",), WholeImages(), crop=256),
    ),
    "deblur": (
        PreparationRecipe("paper", ("GoPro-train",), WholeImages(), crop=256),
        PreparationRecipe("released", ("GoPro-train",), WholeImages(), crop=256),
    ),
    # The code cuts 300 patches per image in advance and crops 128 x 128 from those.
    "denoise": (
        PreparationRecipe("paper", ("SIDD-train",), WholeImages(), crop=256),
        PreparationRecipe("released", ("SIDD-train",), RandomPatches(300, 256), crop=128),
    ),
    # 32 x 32 blocks. Only the code defines how many an epoch draws: 200 per image.
    "cs": (
        PreparationRecipe("paper", ("BSD400",), WholeImages(), crop=32, draws=200),
        PreparationRecipe(
            "released", ("BSD400", "DIV2K"), WholeImages(), crop=32, draws=200, luma="studio"
        ),
    ),
}
"""Recipes (of the paper, of the released code) by task."""


def find_recipe(info: DatasetInfo, name: RecipeName) -> PreparationRecipe:
    """Look up the recipe ``name`` for a dataset; ``whole`` is valid for every dataset.

    Raises:
        DataError: for an unknown recipe, or a dataset that it does not use.
    """
    if name == "whole":
        return WHOLE
    known = {found.name: found for found in RECIPES[info.task]}
    if name not in known:
        raise DataError(f"unknown recipe {name!r}.", "Known recipes: whole, paper, released.")
    if info.name not in known[name].sets:
        raise DataError(
            f"{info.name} is not a training set of the recipe {name!r} for {info.task};"
            f" it uses {' and '.join(known[name].sets)}.",
            "Omit --recipe to keep the images whole.",
        )
    return known[name]
