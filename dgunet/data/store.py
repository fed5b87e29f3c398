"""The prepared store: raw pixels of both images of a pair in one record, memory-mapped.

A store is a folder with Arrow IPC files and ``manifest.json``. A record is one Arrow record batch,
so a crop is a NumPy view into the mapped file: nothing is decoded and nothing is copied.

The price is disk: raw pixels take about twice the bytes of the PNGs they come from.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dgunet import files
from dgunet.data.images import Pixels
from dgunet.errors import DataError

VERSION = 1
"""Of the layout below; a store of another version is refused."""

SHARD_BYTES = 1 << 30
"""A file is closed once it holds this much: few large files, none too large to copy."""

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("channels", pa.int32(), nullable=False),
        pa.field("dtype", pa.string(), nullable=False),
        pa.field("input", pa.large_binary()),
        pa.field("target", pa.large_binary()),
        pa.field("input_file", pa.string()),
        pa.field("target_file", pa.string()),
        pa.field("input_sha256", pa.string()),
        pa.field("target_sha256", pa.string()),
    ]
)

_AGAIN = "Prepare the set again: `dgunet data prepare NAME`, or `dvc repro`."


@dataclass(frozen=True)
class Source:
    """Where one image of a record comes from: file relative to the data root, and its SHA-256."""

    file: str
    sha256: str


@dataclass(frozen=True)
class PairRecord:
    """One pair; the arrays are read-only views, H x W x C, uint8 or float32 in [0, 1].

    ``input`` is the degraded image (None for compressive sensing, which samples the target);
    ``target`` is the clean one (None for DND, whose ground truth only the server has).
    """

    id: str
    input: Pixels | None
    target: Pixels | None
    input_source: Source | None
    target_source: Source | None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C), which both images share."""
        image = self.input if self.input is not None else self.target
        assert image is not None
        height, width, channels = image.shape
        return height, width, channels

    def crop(self, top: int, left: int, height: int, width: int) -> PairRecord:
        """The same pair cut to a rectangle, still as views."""
        rows, columns = slice(top, top + height), slice(left, left + width)
        return PairRecord(
            self.id,
            None if self.input is None else self.input[rows, columns],
            None if self.target is None else self.target[rows, columns],
            self.input_source,
            self.target_source,
        )


@dataclass(frozen=True)
class Shard:
    """One Arrow file of a store."""

    file: str
    records: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class StoreManifest:
    """What ``manifest.json`` says of a store.

    ``digest`` is the SHA-256 over the records' ids, shapes and pixels, in order: it does not depend
    on how the records are spread over files. ``complete`` is true when a real set has its published
    number of pairs; a store of the sample profile never is.
    """

    dataset: str
    task: str
    role: str
    profile: str
    digest: str
    count: int
    published_count: int
    complete: bool
    protocol: str
    recipe: str
    version: int
    shards: tuple[Shard, ...]

    @classmethod
    def read(cls, folder: Path) -> StoreManifest:
        """The manifest of the store in ``folder``.

        Raises:
            DataError: if there is no store, or it is of another version or damaged.
        """
        path = folder / "manifest.json"
        if not path.is_file():
            raise DataError(f"{folder} is not a prepared store: {path} is missing.", _AGAIN)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.get("version") != VERSION:
                raise DataError(
                    f"{path}: store version {content.get('version')}, this program reads"
                    f" version {VERSION}.",
                    _AGAIN,
                )
            shards = tuple(Shard(**shard) for shard in content.pop("shards"))
            return cls(**content, shards=shards)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(f"{path} is damaged ({error}).", _AGAIN) from error


@dataclass(frozen=True)
class LoadedPair:
    """A decoded pair on its way into a store; see `PairRecord`."""

    id: str
    input: Pixels | None
    target: Pixels | None
    input_source: Source | None = None
    target_source: Source | None = None


def write_store(
    folder: Path,
    pairs: Iterable[LoadedPair],
    *,
    shard_bytes: int = SHARD_BYTES,
    **description: Any,
) -> StoreManifest:
    """Write ``pairs`` to a new store that appears at ``folder`` only when it is whole.

    Args:
        folder: replaced if it is there.
        pairs: decoded one after the other, so that one pair is in memory at a time.
        shard_bytes: pixels after which a new Arrow file begins.
        description: the fields of `StoreManifest` that the pixels do not tell.

    Raises:
        DgunetError: if the disk is full or the folder may not be written.
    """
    with files.atomic_folder(folder) as work:
        lines: list[str] = []
        shards: list[Shard] = []
        pending = iter(pairs)
        first = next(pending, None)
        while first is not None:
            path = work / f"pairs-{len(shards):05d}.arrow"
            written, first = _write_shard(path, first, pending, shard_bytes)
            lines += written
            size = path.stat().st_size
            shards.append(Shard(path.name, len(written), size, files.sha256_file(path)))
        manifest = StoreManifest(
            **description,
            digest=content_digest(lines),
            count=len(lines),
            version=VERSION,
            shards=tuple(shards),
        )
        files.write_json(work / "manifest.json", asdict(manifest))
    return manifest


def _write_shard(
    path: Path, first: LoadedPair, pending: Iterator[LoadedPair], limit: int
) -> tuple[list[str], LoadedPair | None]:
    """Fill one file; gives the digest lines of its records and the pair that did not fit."""
    lines: list[str] = []
    size = 0
    pair: LoadedPair | None = first
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        while pair is not None and (not lines or size < limit):
            batch = _batch(pair)
            writer.write_batch(batch)
            size += batch.nbytes
            lines.append(digest_line(pair))
            pair = next(pending, None)
    return lines, pair


def _batch(pair: LoadedPair) -> pa.RecordBatch:
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
        _binary(value) if isinstance(value, np.ndarray) else pa.array([value], type=column.type)
        for value, column in zip(values, SCHEMA, strict=True)
    ]
    return pa.record_batch(columns, schema=SCHEMA)


def _binary(image: Pixels) -> pa.Array:
    offsets = pa.py_buffer(np.array([0, image.nbytes], np.int64))
    return pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, pa.py_buffer(image)])


def digest_line(pair: LoadedPair) -> str:
    """What one record adds to a store's digest: its id, shapes, and the SHA-256 of its pixels."""
    parts = [
        "-" if a is None else f"{a.shape}{a.dtype.name}:{files.sha256_bytes(a.tobytes())}"
        for a in (pair.input, pair.target)
    ]
    return f"{pair.id} {parts[0]} {parts[1]}\n"


def content_digest(lines: Iterable[str]) -> str:
    """The digest of a store from the `digest_line` of its records, in order."""
    return files.sha256_bytes("".join(lines).encode())


class PairStore:
    """A store opened for reading: ``len(store)``, ``store[i]``, ``store.manifest``.

    Open with `PairStore.open`. Records are mapped, not read: opening costs the same for ten pairs
    and for ten thousand, and the operating system keeps in memory what is used.
    """

    def __init__(self, folder: Path, manifest: StoreManifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self._readers: dict[int, Any] = {}
        self._records: dict[int, PairRecord] = {}
        self._ends = np.cumsum([shard.records for shard in manifest.shards])

    @classmethod
    def open(cls, folder: Path | str) -> PairStore:
        """Open the store in ``folder``, checking its manifest and the sizes of its files.

        Raises:
            DataError: if there is no store, or a file is missing or has another size.
        """
        folder = Path(folder)
        manifest = StoreManifest.read(folder)
        for shard in manifest.shards:
            path = folder / shard.file
            size = path.stat().st_size if path.is_file() else None
            if size != shard.bytes:
                found = "missing" if size is None else f"{size} bytes"
                raise DataError(f"{path} is {found}, expected {shard.bytes} bytes.", _AGAIN)
        return cls(folder, manifest)

    def verify(self) -> None:
        """Read every file and compare its SHA-256 with the manifest's.

        Raises:
            DataError: naming the first file that differs.
        """
        for shard in self.manifest.shards:
            path = self.folder / shard.file
            if files.sha256_file(path) != shard.sha256:
                raise DataError(f"{path} is not what was prepared: its SHA-256 differs.", _AGAIN)

    def __len__(self) -> int:
        return self.manifest.count

    def __iter__(self) -> Iterator[PairRecord]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> PairRecord:
        if not 0 <= index < len(self):
            raise IndexError(f"record {index} of a store with {len(self)}")
        record = self._records.get(index)
        if record is None:
            record = self._records[index] = self._map(index)
        return record

    def _map(self, index: int) -> PairRecord:
        number = int(np.searchsorted(self._ends, index, side="right"))
        start = int(self._ends[number - 1]) if number else 0
        batch = self._reader(number).get_batch(index - start)
        shape = tuple(batch.column(name)[0].as_py() for name in ("height", "width", "channels"))
        dtype = np.dtype(batch.column("dtype")[0].as_py())
        return PairRecord(
            batch.column("id")[0].as_py(),
            _view(batch.column("input"), shape, dtype),
            _view(batch.column("target"), shape, dtype),
            _source(batch, "input"),
            _source(batch, "target"),
        )

    def _reader(self, number: int) -> Any:
        if number not in self._readers:
            path = self.folder / self.manifest.shards[number].file
            try:
                self._readers[number] = pa.ipc.open_file(pa.memory_map(str(path)))
            except (pa.ArrowInvalid, OSError) as error:
                raise DataError(f"{path} is damaged ({error}).", _AGAIN) from error
        return self._readers[number]

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker process maps the files itself; the pages are shared all the same.
        return PairStore, (self.folder, self.manifest)


def _view(column: pa.Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Pixels | None:
    if column.null_count:
        return None
    _, offsets, pixels = column.buffers()
    start = int(np.frombuffer(offsets, np.int64)[column.offset])
    count = int(np.prod(shape))
    return np.frombuffer(pixels, dtype, count, start).reshape(shape)


def _source(batch: pa.RecordBatch, which: str) -> Source | None:
    file = batch.column(f"{which}_file")[0].as_py()
    return None if file is None else Source(file, batch.column(f"{which}_sha256")[0].as_py())
