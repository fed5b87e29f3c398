"""Random access to the records of a prepared store through memory-mapped files.

A store is a folder with Arrow IPC files and ``manifest.json``; a record is one Arrow record batch.
`StoreReader` does not verify the files; `dgunet.data.store.pair_store.PairStore` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa

from dgunet.data.readers.images import Pixels
from dgunet.data.store.manifest import PREPARE_AGAIN, StoreManifest
from dgunet.data.store.records import PairRecord, SourceFile, schema
from dgunet.data.store.tiles import TiledPixels
from dgunet.system.errors import DataError
from dgunet.system.reading import shorten
from dgunet.system.safe_paths import check_name

REMEMBERED = 8192
"""Maximum number of mapped records kept in a process, about two kilobytes each."""


class StoreReader:
    """A sequence of `PairRecord`: ``len(store)``, ``store[i]``, ``store.manifest``.

    Records are memory-mapped, so the operating system keeps in memory what is used. Threads may
    share a reader; a worker process that receives one maps the files itself.

    Args:
        folder: folder of the store.
        manifest: content of its ``manifest.json``.
    """

    def __init__(self, folder: Path, manifest: StoreManifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self._readers: dict[int, Any] = {}
        self._records: dict[int, PairRecord] = {}
        self._lock = Lock()  # Arrow's file readers are not thread-safe
        self._ends = np.cumsum([shard.records for shard in manifest.shards])

    def records_of(self, number: int) -> Iterator[PairRecord]:
        """Yield the records of one file from a new mapping; none of them stays in memory.

        The structure of a record is validated before its values are read, because reading the
        values of a malformed one would crash the process.

        Raises:
            DataError: if the file is not a store file.
            pyarrow.ArrowInvalid: if a record is malformed.
        """
        reader, path = self._mapped(number), self.folder / self.manifest.shards[number].file
        if not reader.schema.equals(schema(self.manifest.layout)):
            raise DataError(
                f"{path} does not have the columns of a {self.manifest.layout} store.",
                PREPARE_AGAIN,
            )
        for position in range(reader.num_record_batches):
            batch = reader.get_batch(position)
            batch.validate(full=True)
            if batch.num_rows != 1:
                raise DataError(
                    f"{path} is damaged: record {position} is not a single pair.", PREPARE_AGAIN
                )
            yield self._record(batch)

    def __len__(self) -> int:
        return self.manifest.count

    def __iter__(self) -> Iterator[PairRecord]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> PairRecord:
        if not 0 <= index < len(self):
            raise IndexError(f"record {index} of a store with {len(self)}")
        record = self._records.get(index)
        if record is None:
            with self._lock:
                record = self._map(index)
                if len(self._records) >= REMEMBERED:
                    self._records.clear()
                self._records[index] = record
        return record

    def _map(self, index: int) -> PairRecord:
        number = int(np.searchsorted(self._ends, index, side="right"))
        start = int(self._ends[number - 1]) if number else 0
        return self._record(self._reader(number).get_batch(index - start))

    def _record(self, batch: pa.RecordBatch) -> PairRecord:
        height, width, channels = (
            batch.column(name)[0].as_py() for name in ("height", "width", "channels")
        )
        shape, dtype = (height, width, channels), np.dtype(batch.column("dtype")[0].as_py())
        name = str(batch.column("id")[0].as_py())
        check_name(name, lambda why: self._misnamed(name, why))
        degraded, clean = (
            _tiles(batch.column(half), shape, dtype, f"{self.folder}: the {half} of {name}")
            if self.manifest.layout == "compact"
            else _view(batch.column(half), shape, dtype)
            for half in ("input", "target")
        )
        sources = (_source(batch, "input"), _source(batch, "target"))
        return PairRecord(name, (degraded, clean), *sources)

    def _misnamed(self, name: str, why: str) -> DataError:
        return DataError(
            f"{self.folder} holds the record {shorten(name)}, which {why}.", PREPARE_AGAIN
        )

    def _reader(self, number: int) -> Any:
        if number not in self._readers:
            self._readers[number] = self._mapped(number)
        return self._readers[number]

    def _mapped(self, number: int) -> Any:
        path = self.folder / self.manifest.shards[number].file
        try:
            return pa.ipc.open_file(pa.memory_map(str(path)))
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{path} is damaged ({error}).", PREPARE_AGAIN) from error

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker process maps the files itself: the operating system shares the pages, and the
        # files are not verified a second time.
        return type(self), (self.folder, self.manifest)


def _tiles(
    column: pa.Array, shape: tuple[int, int, int], dtype: np.dtype[Any], name: str
) -> TiledPixels | None:
    if column.null_count:
        return None
    # Buffers of the mapped file, without a copy.
    return TiledPixels([tile.as_buffer() for tile in column.values], shape, dtype, name)


def _view(column: pa.Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Pixels | None:
    if column.null_count:
        return None
    _, offsets, pixels = column.buffers()
    start = int(np.frombuffer(offsets, np.int64)[column.offset])
    count = int(np.prod(shape))
    return np.frombuffer(pixels, dtype, count, start).reshape(shape)


def _source(batch: pa.RecordBatch, half: str) -> SourceFile | None:
    file = batch.column(f"{half}_file")[0].as_py()
    return None if file is None else SourceFile(file, batch.column(f"{half}_sha256")[0].as_py())
