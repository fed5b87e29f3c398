"""Writing of prepared stores, file by file, so that an interrupted preparation can continue."""

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
from dgunet.data.store.records import LoadedPair, content_digest, digest_line, schema
from dgunet.data.store.tiles import encode
from dgunet.system import files
from dgunet.system.errors import DataError
from dgunet.system.reading import read_mapping
from dgunet.system.seals import write_seal

SHARD_BYTES = 256 << 20
"""Bytes of pixels after which a file is closed: few files, yet enough for several processes."""


@dataclass(frozen=True)
class WrittenShard:
    """One finished file: its manifest entry, and measurements for the checks of the whole store.

    Attributes:
        shard: entry of the manifest.
        lines: `digest_line` of every record.
        compared: number of pairs with both images.
        rougher: number of those whose input has more detail than the target.
        lift: sum over those pairs of mean(input) - mean(target), in grey levels.
    """

    shard: Shard
    lines: tuple[str, ...]
    compared: int
    rougher: int
    lift: float


def plan_shards(sizes: Sequence[int], limit: int = SHARD_BYTES) -> list[range]:
    """Distribute records of ``sizes`` bytes over files in order, each closed at ``limit`` bytes."""
    shards: list[range] = []
    start = held = 0
    for index, size in enumerate(sizes):
        held += size
        if held >= limit or index == len(sizes) - 1:
            shards.append(range(start, index + 1))
            start, held = index + 1, 0
    return shards


def write_shard(
    path: Path, pairs: Iterable[LoadedPair], layout: LayoutName = "raw"
) -> WrittenShard:
    """Write one file of a store with one pair in memory at a time; it appears only when complete.

    Raises:
        DgunetError: if the disk is full or the folder is not writable.
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
    return WrittenShard(shard, tuple(lines), compared, rougher, lift)


def write_manifest(
    folder: Path, written: Sequence[WrittenShard], **description: Any
) -> StoreManifest:
    """Write ``manifest.json`` and the seal of the store.

    ``description`` has the fields that do not follow from the files.
    """
    lines = [line for file in written for line in file.lines]
    manifest = StoreManifest(
        **description,
        digest=content_digest(lines),
        count=len(lines),
        version=VERSION,
        shards=tuple(file.shard for file in written),
    )
    files.write_json(folder / "manifest.json", manifest.content())
    write_seal(folder, ["manifest.json"], known=manifest.digests)
    return manifest


def save_written(written: WrittenShard, path: Path) -> None:
    """Write the note of a finished file to ``path``, for a run that continues this one."""
    files.write_json(path, asdict(written))


def load_written(path: Path) -> WrittenShard | None:
    """Read the note of `save_written`; None if it or its file is missing, damaged or changed."""
    try:
        content = read_mapping(path)
        shard = Shard(**content["shard"])
        lift = float(content["lift"])
        written = WrittenShard(
            shard, tuple(content["lines"]), int(content["compared"]), int(content["rougher"]), lift
        )
        valid = all(isinstance(line, str) for line in written.lines)
    except (FileNotFoundError, DataError, KeyError, TypeError, ValueError, OverflowError):
        return None  # the file is written again
    data = path.with_suffix(".arrow")
    if not valid or shard.file != data.name or shard.records != len(written.lines):
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
