"""Sizes of the images of a dataset: of its prepared store, or as ``image_sizes.yaml`` states them.

>>> sizes = stated_sizes("Rain100L")
>>> sizes.images, sizes.pixels, sizes.assumed
(100, 15360000, False)
"""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict

from dgunet.data.catalogue.entries import dataset
from dgunet.data.store.manifest import StoreManifest
from dgunet.data.store.store_reader import StoreReader
from dgunet.system.errors import DataError


@dataclass(frozen=True)
class ImageSizes:
    """Sizes of the images that one pass over a dataset reads.

    Attributes:
        counts: (height, width) in pixels and the number of images of that size.
        source: who states the sizes.
        assumed: whether they are a guess, because they vary or nobody states them.
    """

    counts: tuple[tuple[tuple[int, int], int], ...]
    source: str
    assumed: bool = False

    @property
    def images(self) -> int:
        """Number of images."""
        return sum(count for _, count in self.counts)

    @property
    def pixels(self) -> int:
        """Pixels of all images together, without channels."""
        return sum(height * width * count for (height, width), count in self.counts)

    def __str__(self) -> str:
        """``480x320, 320x480``, the most frequent first; at most three sizes are named."""
        named = [f"{width}x{height}" for (height, width), _ in self.counts[:3]]
        more = len(self.counts) - len(named)
        return ", ".join(named) + (f" and {more} more" if more else "")


class _Entry(BaseModel):
    """One entry of ``image_sizes.yaml``; its head describes the fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sizes: dict[str, int | Literal["all"]]
    source: str
    assumed: bool = False


def image_sizes(name: str, store: Path | None = None) -> ImageSizes:
    """Return the sizes in the prepared store of dataset ``name``, else the stated ones.

    Args:
        name: a catalogue name.
        store: folder of the prepared store; it may be absent.

    Raises:
        DataError: if the dataset is unknown, or the store is damaged or of another dataset.
    """
    if store is None or not (store / "manifest.json").is_file():
        return stated_sizes(name)
    manifest = StoreManifest.read(store)
    if manifest.dataset != name:
        raise DataError(
            f"{store} holds {manifest.dataset}, not {name}.", "Prepare the dataset again."
        )
    return _store_sizes(store, manifest)


def stated_sizes(name: str) -> ImageSizes:
    """Return the sizes of dataset ``name`` according to ``image_sizes.yaml`` and the catalogue.

    Raises:
        DataError: for an unknown dataset, or one whose sizes are not in the file.
    """
    pairs, entry = dataset(name).pairs, _entries().get(name)
    if entry is None:
        raise DataError(
            f"the image sizes of {name} are not known.",
            "Prepare it, or add it to dgunet/costs/image_sizes.yaml.",
        )
    counts = []
    for text, count in entry.sizes.items():
        width, height = (int(side) for side in text.split("x"))
        counts.append(((height, width), pairs if count == "all" else count))
    return ImageSizes(tuple(counts), entry.source, entry.assumed)


@functools.cache
def _entries() -> dict[str, _Entry]:
    text = (resources.files(__package__) / "image_sizes.yaml").read_text(encoding="utf-8")
    return {name: _Entry(**entry) for name, entry in yaml.safe_load(text).items()}


def _store_sizes(folder: Path, manifest: StoreManifest) -> ImageSizes:
    """Count the sizes in a store; only the headers of its records are read."""
    reader = StoreReader(folder, manifest)
    found = Counter(reader[index].shape[:2] for index in range(len(reader)))
    return ImageSizes(tuple(found.most_common()), f"the prepared store {folder}")
