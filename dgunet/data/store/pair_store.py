"""The prepared store, read: both images of a pair in one record, memory-mapped.

A store is a folder with Arrow IPC files and ``manifest.json``; a record is one Arrow record batch.
`dgunet.data.store.writer` writes them, in one of two layouts that hold the same pixels:

``raw``: a crop is a NumPy view into the mapped file, nothing is decoded and nothing is copied. The
price is disk: about twice the bytes of the PNGs the pixels come from.

``compact``: compressed tiles, see `dgunet.data.store.tiles`; about PNG's bytes, and a crop decodes
only the tiles it touches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa

from dgunet.data.readers.images import Pixels
from dgunet.data.store import verification
from dgunet.data.store.manifest import AGAIN, LayoutName, StoreManifest
from dgunet.data.store.tiles import TiledPixels
from dgunet.system import files
from dgunet.system.errors import DataError
from dgunet.system.reading import shorten
from dgunet.system.safe_paths import check_name

REMEMBERED = 8192
"""Records whose place in the mapped files is kept, about two kilobytes each."""


def schema(layout: LayoutName) -> pa.Schema:
    """The columns of a store's files: pixels are one value, or a list of compressed tiles."""
    pixels = pa.large_binary() if layout == "raw" else pa.list_(pa.large_binary())
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("height", pa.int32(), nullable=False),
            pa.field("width", pa.int32(), nullable=False),
            pa.field("channels", pa.int32(), nullable=False),
            pa.field("dtype", pa.string(), nullable=False),
            pa.field("input", pixels),
            pa.field("target", pixels),
            pa.field("input_file", pa.string()),
            pa.field("target_file", pa.string()),
            pa.field("input_sha256", pa.string()),
            pa.field("target_sha256", pa.string()),
        ]
    )


@dataclass(frozen=True)
class Source:
    """Where one image of a record comes from: file relative to the data root, and its SHA-256."""

    file: str
    sha256: str


@dataclass(frozen=True)
class PairRecord:
    """One pair; the images are read-only, H x W x C, uint8 or float32 in [0, 1].

    ``halves`` are the degraded and the clean image as they are kept: views of raw pixels, or tiles
    that are decoded when a crop or the whole is asked for.
    """

    id: str
    halves: tuple[Pixels | TiledPixels | None, Pixels | TiledPixels | None]
    input_source: Source | None
    target_source: Source | None

    @property
    def input(self) -> Pixels | None:
        """The degraded image; None for compressive sensing, which samples the target."""
        return _whole(self.halves[0])

    @property
    def target(self) -> Pixels | None:
        """The clean image; None for DND, whose ground truth only the server has."""
        return _whole(self.halves[1])

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C), which both images share; decodes nothing."""
        image = self.halves[0] if self.halves[0] is not None else self.halves[1]
        assert image is not None
        height, width, channels = image.shape
        return height, width, channels

    def crop(self, top: int, left: int, height: int, width: int) -> PairRecord:
        """The same pair cut to a rectangle: views of raw pixels, or only its tiles decoded."""
        rows, columns = slice(top, top + height), slice(left, left + width)
        degraded, clean = (None if half is None else half[rows, columns] for half in self.halves)
        return PairRecord(self.id, (degraded, clean), self.input_source, self.target_source)


class PairStore:
    """A store opened for reading: ``len(store)``, ``store[i]``, ``store.manifest``.

    Open with `PairStore.open`. Records are mapped, not read, and the operating system keeps in
    memory what is used. Threads may share a store.
    """

    def __init__(self, folder: Path, manifest: StoreManifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self._readers: dict[int, Any] = {}
        self._records: dict[int, PairRecord] = {}
        self._lock = Lock()  # threads may share a store, and a reader is not made for that
        self._ends = np.cumsum([shard.records for shard in manifest.shards])

    @classmethod
    def open(cls, folder: Path | str, *, check: bool = True) -> PairStore:
        """Open the store in ``folder``, checking its manifest and its files.

        The first time, and after a change of a file, everything is read once, see
        `dgunet.data.store.verification`; from then on opening costs the same for ten pairs and for
        ten thousand.

        Args:
            folder: of the store.
            check: read its pixels where that is due; without it only sizes are compared.

        Raises:
            DataError: if there is no store, a file is missing or has another size, or its pixels
                or what the manifest says of them are not what was prepared.
        """
        folder = Path(folder)
        manifest = StoreManifest.read(folder)
        held = sum(shard.records for shard in manifest.shards)
        if held != manifest.count:
            raise DataError(
                f"{folder / 'manifest.json'} counts {manifest.count} records, its files {held}.",
                AGAIN,
            )
        for shard in manifest.shards:
            path = folder / shard.file
            size = path.stat().st_size if path.is_file() else None
            if size != shard.bytes:
                found = "missing" if size is None else f"{size} bytes"
                raise DataError(f"{path} is {found}, expected {shard.bytes} bytes.", AGAIN)
        verification.check_manifest(manifest, folder)
        store = cls(folder, manifest)
        if check:
            verification.ensure_whole(store)
        return store

    def verify(self) -> None:
        """Read every file, compare its SHA-256 with the manifest's, and then the pixels' digest.

        Raises:
            DataError: as `dgunet.data.store.verification.verify`.
        """
        verification.verify(self)

    def records_of(self, number: int) -> Iterator[PairRecord]:
        """The records of one file, mapped anew: nothing of them stays in memory.

        Their structure is looked at before their values: a mangled one would crash the process.

        Raises:
            DataError: if the file is no file of a store.
            pyarrow.ArrowInvalid: if a record is mangled.
        """
        reader, path = self._mapped(number), self.folder / self.manifest.shards[number].file
        if not reader.schema.equals(schema(self.manifest.layout)):
            raise DataError(f"{path} has other columns than a {self.manifest.layout} store.", AGAIN)
        for place in range(reader.num_record_batches):
            batch = reader.get_batch(place)
            batch.validate(full=True)
            if batch.num_rows != 1:
                raise DataError(f"{path} is damaged: record {place} is no single pair.", AGAIN)
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
        return DataError(f"{self.folder} holds the record {shorten(name)}, which {why}.", AGAIN)

    def _reader(self, number: int) -> Any:
        if number not in self._readers:
            self._readers[number] = self._mapped(number)
        return self._readers[number]

    def _mapped(self, number: int) -> Any:
        path = self.folder / self.manifest.shards[number].file
        try:
            return pa.ipc.open_file(pa.memory_map(str(path)))
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{path} is damaged ({error}).", AGAIN) from error

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker process maps the files itself; the pages are shared all the same, and what the
        # first process verified is not verified again.
        return PairStore, (self.folder, self.manifest)


def digest_line(name: str, degraded: Pixels | None, clean: Pixels | None) -> str:
    """What one record adds to a store's digest: its id, shapes, and the SHA-256 of its pixels."""
    return joined_line(name, pixel_digest(degraded), pixel_digest(clean))


def joined_line(name: str, degraded: str, clean: str) -> str:
    """`digest_line` from the `pixel_digest` of both images."""
    return f"{name} {degraded} {clean}\n"


def pixel_digest(image: Pixels | None) -> str:
    """Shape and type of an image, and the SHA-256 of its pixels (64 digits at the end)."""
    if image is None:
        return "-"
    return f"{image.shape}{image.dtype.name}:{files.sha256_bytes(image.tobytes())}"


def content_digest(lines: Iterable[str]) -> str:
    """The digest of a store from the `digest_line` of its records, in order."""
    return files.sha256_bytes("".join(lines).encode())


def _whole(half: Pixels | TiledPixels | None) -> Pixels | None:
    return half.whole() if isinstance(half, TiledPixels) else half


def _tiles(
    column: pa.Array, shape: tuple[int, int, int], dtype: np.dtype[Any], name: str
) -> TiledPixels | None:
    if column.null_count:
        return None
    # Buffers of the mapped file, not copies.
    return TiledPixels([tile.as_buffer() for tile in column.values], shape, dtype, name)


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
