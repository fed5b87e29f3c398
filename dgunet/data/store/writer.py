"""The prepared store, written: file by file, so that an interrupted preparation can go on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dgunet.data.readers.images import Pixels
from dgunet.data.readers.pair_direction import roughness
from dgunet.data.store.manifest import VERSION, LayoutName, Shard, StoreManifest
from dgunet.data.store.pair_store import Source, content_digest, digest_line, schema
from dgunet.data.store.tiles import encode
from dgunet.system import files
from dgunet.system.errors import DataError
from dgunet.system.reading import read_mapping

SHARD_BYTES = 256 << 20
"""A file is closed once it holds so many bytes of pixels: few files, yet work for several."""


@dataclass(frozen=True)
class LoadedPair:
    """A decoded pair on its way into a store; see `PairRecord`."""

    id: str
    input: Pixels | None
    target: Pixels | None
    input_source: Source | None = None
    target_source: Source | None = None


@dataclass(frozen=True)
class Written:
    """One finished file: what the manifest says of it, and what the whole store needs to know.

    lines: of the digest, see `digest_line`. compared, rougher: pairs with both halves, and those
    whose input has more detail than the target. lift: by how many grey levels these inputs are
    brighter than their targets, in all.
    """

    shard: Shard
    lines: tuple[str, ...]
    compared: int
    rougher: int
    lift: float


def plan_shards(sizes: Sequence[int], limit: int = SHARD_BYTES) -> list[range]:
    """Spread records of ``sizes`` bytes over files: consecutive, each closed at ``limit`` bytes."""
    shards: list[range] = []
    start = held = 0
    for index, size in enumerate(sizes):
        held += size
        if held >= limit or index == len(sizes) - 1:
            shards.append(range(start, index + 1))
            start, held = index + 1, 0
    return shards


def write_shard(path: Path, pairs: Iterable[LoadedPair], layout: LayoutName = "raw") -> Written:
    """Write one file of a store, one pair in memory at a time; it appears when it is whole.

    Raises:
        DgunetError: if the disk is full or the folder may not be written.
    """
    lines: list[str] = []
    compared = rougher = 0
    lift = 0.0
    with (
        files.atomic_path(path) as temporary,
        pa.OSFile(str(temporary), "wb") as sink,
        pa.ipc.new_file(sink, schema(layout)) as writer,
    ):
        for pair in pairs:
            writer.write_batch(_batch(pair, layout))
            lines.append(digest_line(pair.id, pair.input, pair.target))
            if pair.input is not None and pair.target is not None:
                compared += 1
                rougher += roughness(pair.input) > roughness(pair.target)
                lift += float(pair.input.mean() - pair.target.mean())
    shard = Shard(path.name, len(lines), path.stat().st_size, files.sha256_file(path))
    return Written(shard, tuple(lines), compared, rougher, lift)


def write_manifest(folder: Path, written: Sequence[Written], **description: Any) -> StoreManifest:
    """Write ``manifest.json``; ``description`` is what the pixels of the files do not tell."""
    lines = [line for part in written for line in part.lines]
    manifest = StoreManifest(
        **description,
        digest=content_digest(lines),
        count=len(lines),
        version=VERSION,
        shards=tuple(part.shard for part in written),
    )
    files.write_json(folder / "manifest.json", manifest.content())
    return manifest


def save_written(written: Written, path: Path) -> None:
    """Remember a finished file for a later run."""
    files.write_json(path, asdict(written))


def load_written(path: Path) -> Written | None:
    """What `save_written` remembered, if its file is still there as it was."""
    try:
        content = read_mapping(path)
        shard = Shard(**content["shard"])
        lift = float(content["lift"])
        written = Written(
            shard, tuple(content["lines"]), int(content["compared"]), int(content["rougher"]), lift
        )
        whole = all(isinstance(line, str) for line in written.lines)
    except (FileNotFoundError, DataError, KeyError, TypeError, ValueError, OverflowError):
        return None  # a damaged note is none: the file is written again
    data = path.with_suffix(".arrow")
    if not whole or shard.file != data.name or shard.records != len(written.lines):
        return None
    return written if data.is_file() and files.sha256_file(data) == shard.sha256 else None


def _batch(pair: LoadedPair, layout: LayoutName) -> pa.RecordBatch:
    image = pair.input if pair.input is not None else pair.target
    if image is None:
        raise ValueError(f"pair {pair.id} has no image")
    height, width, channels = image.shape
    values: list[Any] = [pair.id, height, width, channels, image.dtype.name]
    values += [None if a is None else np.ascontiguousarray(a) for a in (pair.input, pair.target)]
    for field in ("file", "sha256"):
        for source in (pair.input_source, pair.target_source):
            values.append(None if source is None else getattr(source, field))
    columns = [
        _pixels(value, layout)
        if isinstance(value, np.ndarray)
        else pa.array([value], type=column.type)
        for value, column in zip(values, schema(layout), strict=True)
    ]
    return pa.record_batch(columns, schema=schema(layout))


def _pixels(image: Pixels, layout: LayoutName) -> pa.Array:
    if layout == "compact":
        return pa.array([encode(image)], type=schema(layout).field("input").type)
    offsets = pa.py_buffer(np.array([0, image.nbytes], np.int64))
    return pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, pa.py_buffer(image)])
