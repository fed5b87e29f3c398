"""What a preparation will write: the pairs of a dataset, distributed over files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dgunet.data.catalogue.entries import DatasetInfo, dataset
from dgunet.data.readers.pairing import Pair, check_shapes
from dgunet.data.store.manifest import VERSION, LayoutName
from dgunet.data.store.preparation_recipes import (
    PreparationRecipe,
    RecipeName,
    RecordCut,
    StudioLuma,
    find_recipe,
)
from dgunet.data.store.recognition import read_complete_pairs
from dgunet.data.store.writer import plan_shards
from dgunet.system import files

_NOTES = 2
"""Version of the notes about finished files."""

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class ShardJob:
    """One file of a store, to be written by one worker."""

    path: Path
    pairs: tuple[Pair, ...]
    root: Path
    cut: RecordCut
    layout: LayoutName

    @property
    def note(self) -> Path:
        """Note of the finished file, for a run that continues this one."""
        return self.path.with_suffix(".json")


@dataclass(frozen=True)
class PreparationPlan:
    """A preparation before its first file is written.

    Attributes:
        info: the dataset.
        recipe: how it is prepared.
        layout: of the store.
        root: the folder of the official trees.
        shard_bytes: bytes of pixels after which a new file begins.
        pairs: in the order of the store.
        shapes: (H, W, C) of each pair.
        sizes: bytes of pixels of each pair's records.
        identity: digest of all that must be unchanged for an interrupted run to be continued.
    """

    info: DatasetInfo
    recipe: PreparationRecipe
    layout: LayoutName
    root: Path
    shard_bytes: int
    pairs: list[Pair]
    shapes: list[Shape]
    sizes: list[int]
    identity: str

    def jobs(self, work: Path) -> list[ShardJob]:
        """Return all files of the store, to be written to the folder ``work``."""
        parts = plan_shards(self.sizes, self.shard_bytes)
        return [
            ShardJob(
                work / f"pairs-{number:05d}.arrow",
                tuple(self.pairs[part.start : part.stop]),
                self.root,
                self.recipe.cut,
                self.layout,
            )
            for number, part in enumerate(parts)
        ]


def plan_preparation(
    name: str, root: Path, *, recipe: RecipeName, layout: LayoutName, shard_bytes: int
) -> PreparationPlan:
    """Check the folder tree of a dataset and plan its store.

    Raises:
        DataError: as `dgunet.data.store.prepare.prepare_dataset`.
    """
    info = dataset(name)
    chosen = find_recipe(info, recipe)
    pairs = [chosen.with_luma(pair) for pair in read_complete_pairs(info, root)]
    shapes = [check_shapes(pair) for pair in pairs]
    sizes = [_bytes(*one, chosen.cut) for one in zip(pairs, shapes, strict=True)]
    identity = _identity(info, chosen, layout, pairs, root, shard_bytes)
    return PreparationPlan(info, chosen, layout, root, shard_bytes, pairs, shapes, sizes, identity)


def _bytes(pair: Pair, shape: Shape, cut: RecordCut) -> int:
    """Bytes of pixels in the records of a pair with that shape."""
    height, width, channels = shape
    images = (pair.input is not None) + (pair.target is not None)
    coloured = isinstance(pair.target, StudioLuma) and not pair.target.is_grey()
    item_bytes = 4 if pair.target is None or coloured else 1
    return cut.pixels(height, width) * channels * images * item_bytes


def _identity(
    info: DatasetInfo,
    recipe: PreparationRecipe,
    layout: LayoutName,
    pairs: list[Pair],
    root: Path,
    shard_bytes: int,
) -> str:
    """Digest of everything that must be unchanged for an interrupted run to be continued."""
    sources = {
        image.path: image.path.stat()
        for pair in pairs
        for image in (pair.input, pair.target)
        if image is not None
    }
    described = [
        (path.relative_to(root).as_posix(), stat.st_size, stat.st_mtime_ns)
        for path, stat in sources.items()
    ]
    return files.sha256_json(
        [VERSION, _NOTES, repr(recipe), layout, info.name, shard_bytes, described]
    )
