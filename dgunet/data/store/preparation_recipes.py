"""What a training set becomes on its way into a store, as the paper prints it and as it was coded.

The steps that follow (loss, rates, batch) are `dgunet.training`'s; here is what there is to draw
samples from, and how many an epoch has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from dgunet.data.catalogue.entries import DatasetInfo, dataset
from dgunet.data.readers.images import FilePicture, Pixels, read_rgb
from dgunet.data.readers.pairing import Pair
from dgunet.data.store.writer import LoadedPair
from dgunet.system.errors import DataError

RecipeName = Literal["whole", "paper", "released"]


class Cut(Protocol):
    """Records of the store made of one pair."""

    @property
    def count(self) -> int:
        """How many."""

    def pixels(self, height: int, width: int) -> int:
        """Pixels of all of them, of one half and one channel."""

    def __call__(self, pair: LoadedPair) -> Iterator[LoadedPair]:
        """The records, of which nothing but the pair decides."""


@dataclass(frozen=True)
class Whole:
    """The photographs as they decode; training cuts its patches when it asks for them."""

    count: int = 1

    def pixels(self, height: int, width: int) -> int:
        """All of them."""
        return height * width

    def __call__(self, pair: LoadedPair) -> Iterator[LoadedPair]:
        """The pair itself."""
        yield pair


@dataclass(frozen=True)
class RandomPatches:
    """``count`` square patches at random places of a pair, the same for both halves.

    A row and then a column are drawn from 0 to size - side - 1 for each patch: the last place of a
    patch is left out, as the released script leaves it out. That script draws without a seed; here
    the pair's name seeds its places.
    """

    count: int
    side: int

    def pixels(self, height: int, width: int) -> int:
        """Those of all patches, whatever the size of the photograph."""
        return self.count * self.side**2

    def __call__(self, pair: LoadedPair) -> Iterator[LoadedPair]:
        """The patches, called ``<pair>_001`` and so on.

        Raises:
            DataError: if the photograph is not larger than a patch.
        """
        height, width = next(a for a in (pair.input, pair.target) if a is not None).shape[:2]
        if min(height, width) <= self.side:
            raise DataError(
                f"{pair.id} is {width}x{height}, too small for patches of"
                f" {self.side}x{self.side} at random places.",
                "Bring the full photographs, or leave --recipe out to keep the pictures whole.",
            )
        places = self.places(pair.id, height, width)
        for number, (top, left) in enumerate(places.tolist(), start=1):
            rows, columns = slice(top, top + self.side), slice(left, left + self.side)
            degraded, clean = (
                None if image is None else np.ascontiguousarray(image[rows, columns])
                for image in (pair.input, pair.target)
            )
            name = f"{pair.id}_{number:0{len(str(self.count))}d}"
            yield replace(pair, id=name, input=degraded, target=clean)

    def places(self, name: str, height: int, width: int) -> NDArray[np.int64]:
        """Top left corners (row, column) of the patches of a photograph, count x 2."""
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        limits = [height - self.side, width - self.side]
        return np.random.default_rng(seed).integers(0, limits, (self.count, 2))


@dataclass(frozen=True)
class StudioLuma(FilePicture):
    """A photograph as the released sampling code trains on it: its Y, float32, if it has colours.

    Y = (16 + 65.481 R + 128.553 G + 24.966 B) / 255 with R, G, B in [0, 1], not rounded: 16/255 for
    black, 235/255 for white. A grey file keeps its full range and its type, uint8.
    """

    def load(self) -> Pixels:
        """H x W x 1, float32 or uint8."""
        if self.is_grey():
            return super().load()
        weights = np.array([65.481, 128.553, 24.966]) / 255
        luma = (read_rgb(self.path) @ weights + 16) / 255
        return luma.astype(np.float32)[..., None]

    def is_grey(self) -> bool:
        """Whether the file has one channel, by its header."""
        try:
            return self.kind().endswith(" L")
        except DataError:
            return True  # reading it as grey says what is wrong with it


@dataclass(frozen=True)
class Recipe:
    """How the training sets of one task are prepared, and what an epoch draws from them.

    Attributes:
        sets: catalogue names; together they are what an epoch goes through.
        crop: side of the square that training crops from a record.
        draws: crops of every record in an epoch.
        luma: ``file`` decodes to full-range Y (grey tasks) or RGB, ``studio`` is `StudioLuma`.
    """

    name: RecipeName
    sets: tuple[str, ...]
    cut: Cut
    crop: int
    draws: int = 1
    luma: Literal["file", "studio"] = "file"

    @property
    def records(self) -> int:
        """Records of all the stores together, for the published sets."""
        return sum(dataset(name).pairs for name in self.sets) * self.cut.count

    @property
    def samples(self) -> int:
        """Samples in an epoch."""
        return self.records * self.draws

    def steps(self, batch: int) -> int:
        """Steps in an epoch; the last batch may be smaller."""
        return -(-self.samples // batch)

    def picture(self, pair: Pair) -> Pair:
        """``pair`` with its pictures decoded as this recipe has it."""
        if self.luma == "file" or not isinstance(pair.target, FilePicture):
            return pair
        return replace(pair, target=StudioLuma(pair.target.path, grey=True))


PLAIN = Recipe("whole", (), Whole(), crop=0)
"""Any set, every picture whole: what evaluation needs, and the paper's own trainings too."""

RECIPES: dict[str, tuple[Recipe, Recipe]] = {
    # Section 4.1: 256 x 256 patches cropped at random from the training images.
    "derain": (
        Recipe("paper", ("Rain13K",), Whole(), crop=256),
        Recipe("released", ("Rain13K",), Whole(), crop=256),
    ),
    "deblur": (
        Recipe("paper", ("GoPro-train",), Whole(), crop=256),
        Recipe("released", ("GoPro-train",), Whole(), crop=256),
    ),
    # The code cuts 300 patches a photograph beforehand and crops 128 x 128 from those.
    "denoise": (
        Recipe("paper", ("SIDD-train",), Whole(), crop=256),
        Recipe("released", ("SIDD-train",), RandomPatches(300, 256), crop=128),
    ),
    # 32 x 32 blocks. How many an epoch draws only the code says: 200 a photograph.
    "cs": (
        Recipe("paper", ("BSD400",), Whole(), crop=32, draws=200),
        Recipe("released", ("BSD400", "DIV2K"), Whole(), crop=32, draws=200, luma="studio"),
    ),
}
"""(as printed, as coded) by task."""


def recipe(info: DatasetInfo, name: RecipeName) -> Recipe:
    """The recipe of that name for a set; ``whole`` is for every set.

    Raises:
        DataError: for an unknown recipe, or a set that it does not train on.
    """
    if name == "whole":
        return PLAIN
    known = {found.name: found for found in RECIPES[info.task]}
    if name not in known:
        raise DataError(f"unknown recipe {name!r}.", "Recipes are: whole, paper, released.")
    if info.name not in known[name].sets:
        raise DataError(
            f"{info.name} is no training set of the recipe {name!r} for {info.task};"
            f" that takes {' and '.join(known[name].sets)}.",
            "Leave --recipe out: the pictures are kept whole.",
        )
    return known[name]
