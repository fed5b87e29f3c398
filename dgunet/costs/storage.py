"""Disk space of prepared stores, results and weights, before anything is written."""

from __future__ import annotations

from dgunet.costs.evaluation_cost import weight_bytes
from dgunet.costs.image_sizes import ImageSizes, stated_sizes
from dgunet.data.catalogue.entries import DatasetInfo, dataset
from dgunet.data.store.manifest import LayoutName
from dgunet.data.store.preparation_recipes import RecipeName, find_recipe
from dgunet.evaluation.kept_images import RANKED
from dgunet.evaluation.protocols import protocol
from dgunet.network import DGUNetConfig

COMPACT = 0.75
"""Largest size of a compact store relative to a raw one among the real datasets measured; the
smallest was 0.34 (`dgunet.data.store.prepare.LEAST`)."""

ROW = 400
"""Bytes of one image's row in ``per_image.parquet``, of its journal entry and of its share of the
summary; measured rows are smaller."""

CHECKPOINTS = 4
"""Copies of the weights in a training checkpoint: weights, Adam's two moments, best weights."""


def prepared_bytes(
    name: str,
    *,
    recipe: RecipeName = "whole",
    layout: LayoutName = "raw",
    sizes: ImageSizes | None = None,
) -> int:
    """Estimate the bytes of the prepared store of dataset ``name``.

    Pairs x pixels x channels x halves, one byte for each value, four for the float images of DND
    and of the released luma. For a compact store it is an upper estimate, see `COMPACT`.

    Args:
        name: a catalogue name.
        recipe: of `dgunet.data.store.preparation_recipes`.
        layout: ``raw`` or ``compact``.
        sizes: sizes of the images, instead of the stated ones.

    Raises:
        DataError: if the dataset is unknown, or the recipe does not use it.
    """
    info = dataset(name)
    chosen = find_recipe(info, recipe)
    sizes = sizes or stated_sizes(name)
    pixels = sum(
        chosen.cut.pixels(height, width) * count for (height, width), count in sizes.counts
    )
    floats = "dnd" in _layouts(info) or (chosen.luma == "studio" and name == "DIV2K")
    values = pixels * _channels(info) * _halves(info) * (4 if floats else 1)
    return round(values * (COMPACT if layout == "compact" else 1))


def results_bytes(name: str, *, keep_images: int = 0, sizes: ImageSizes | None = None) -> int:
    """Estimate the bytes that one evaluation of test set ``name`` leaves in its folder.

    The table of scores; the kept images, which are PNG files and at most as large as their pixels;
    for DND twice the restored boxes in float32, single and bundled.

    Args:
        name: a test set of the catalogue.
        keep_images: number of restored images kept from the start of the set; with one or more,
            up to three more are kept for their PSNR.
        sizes: sizes of the images, instead of the stated ones.

    Raises:
        DataError: if the dataset is unknown.
    """
    info = dataset(name)
    sizes = sizes or stated_sizes(name)
    largest = max(height * width for (height, width), _ in sizes.counts)
    local = protocol(info.protocol).scores_locally
    images = keep_images + RANKED if keep_images and local else keep_images
    kept = min(images, sizes.images) * largest * _channels(info)
    boxes = 0 if local else 2 * 4 * sizes.pixels * 3
    return sizes.images * ROW + kept + boxes


def unfinished_bytes(name: str, *, keep_images: int = 0, sizes: ImageSizes | None = None) -> int:
    """Estimate the bytes of the restored images of an evaluation until it is complete.

    With ``keep_images`` every image is kept until the best, the median and the worst are known. PNG
    files, at most about as large as their pixels.

    Args:
        name: a test set of the catalogue.
        keep_images: as for `results_bytes`.
        sizes: sizes of the images, instead of the stated ones.

    Raises:
        DataError: if the dataset is unknown.
    """
    info = dataset(name)
    if not keep_images or not protocol(info.protocol).scores_locally:
        return 0
    return (sizes or stated_sizes(name)).pixels * _channels(info)


def checkpoint_bytes(config: DGUNetConfig, *, training: bool = False) -> int:
    """Return the bytes of a network's weights file, or of one training checkpoint.

    A training keeps its last three checkpoints, see `dgunet.training.checkpoints.Checkpoints`.
    """
    return weight_bytes(config) * (CHECKPOINTS if training else 1)


def _channels(info: DatasetInfo) -> int:
    return 1 if info.grey else 3


def _halves(info: DatasetInfo) -> int:
    """Return the images of a record: two, or one where only the input or the target exists."""
    return 1 if info.grey or {"dnd", "sidd-benchmark"} & _layouts(info) else 2


def _layouts(info: DatasetInfo) -> set[str]:
    return {tree.layout for tree in info.trees}
