"""The prepared store, read: raw pixels of both images of a pair in one record, memory-mapped.

A store is a folder with Arrow IPC files and ``manifest.json``. A record is one Arrow record batch,
so a crop is a NumPy view into the mapped file: nothing is decoded and nothing is copied.
`dgunet.data.writer` writes them.

The price is disk: raw pixels take about twice the bytes of the PNGs they come from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dgunet import files
from dgunet.data.images import Pixels
from dgunet.errors import DataError

VERSION = 1
"""Of the layout below; a store of another version is refused."""

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
