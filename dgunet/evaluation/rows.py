"""The per-image table: its rows, the journal that survives a killed run, and the Parquet file."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dgunet.evaluation.arrays import Array
from dgunet.files import atomic_path, writing


@dataclass(frozen=True)
class Row:
    """One image of a per-image table.

    Attributes:
        id: the record's name in the set.
        psnr: dB under the protocol, ``inf`` for identical images where the source says so;
            None when only a server can score.
        ssim: under the protocol, or None.
        input_psnr: the degraded input's own PSNR (for compressive sensing, of Phi^T y), or None.
        input_ssim: its SSIM, or None.
        protocol: the protocol's name.
        protocol_version: and version.
        height: pixels.
        width: pixels.
        restored_sha256: of the scored array; see `array_sha256`.
        tile: side of the tiles it was restored in, None for the whole image at once.
    """

    id: str
    psnr: float | None
    ssim: float | None
    input_psnr: float | None
    input_ssim: float | None
    protocol: str
    protocol_version: int
    height: int
    width: int
    restored_sha256: str
    tile: int | None = None


@dataclass(frozen=True)
class Timing:
    """Seconds spent on one image: reading, restoring, scoring."""

    id: str
    read: float
    restore: float
    score: float


_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("psnr", pa.float64()),
        ("ssim", pa.float64()),
        ("input_psnr", pa.float64()),
        ("input_ssim", pa.float64()),
        ("protocol", pa.string()),
        ("protocol_version", pa.int32()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("restored_sha256", pa.string()),
        ("tile", pa.int32()),
    ]
)
_TIMING_SCHEMA = pa.schema(
    [("id", pa.string()), *((name, pa.float64()) for name in ("read", "restore", "score"))]
)


def array_sha256(array: Array) -> str:
    """SHA-256 of ``<type> <shape>\\n`` and the little-endian bytes in C order.

    It names the pixels and not a file, so it does not depend on an image encoder.
    """
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    digest = hashlib.sha256(f"{array.dtype.name} {'x'.join(map(str, array.shape))}\n".encode())
    digest.update(little.data)
    return digest.hexdigest()


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write the per-image table; the same rows give the same bytes."""
    _write_table(path, [asdict(row) for row in rows], _SCHEMA)


def write_rows_csv(path: Path, rows: Iterable[Row]) -> None:
    """Write the per-image table as CSV, numbers in full precision."""
    with atomic_path(path) as temporary, temporary.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, _SCHEMA.names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def write_timings(path: Path, timings: Iterable[Timing]) -> None:
    """Write seconds per image; not reproducible, so kept apart from the tracked table."""
    _write_table(path, [asdict(timing) for timing in timings], _TIMING_SCHEMA)


def _write_table(path: Path, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), temporary, compression="snappy")


def mean(values: Iterable[float | None]) -> float | None:
    """Arithmetic mean, exactly rounded; None when empty or when any value is missing."""
    known = list(values)
    if not known or any(value is None for value in known):
        return None
    return math.fsum(value for value in known if value is not None) / len(known)


Entry = tuple[int, Row, Timing]


class Journal:
    """Rows on disk as they come, one file per process, so that a killed run resumes.

    A file starts with the key of its evaluation (checkpoint, data, protocol, settings); rows of
    another key are ignored. A line cut short by a kill is ignored too.
    """

    def __init__(self, folder: Path, key: str, part: str) -> None:
        self.folder = folder
        self.key = key
        self.path = folder / f"{part}.jsonl"

    def entries(self) -> dict[int, Entry]:
        """The finished rows of all processes, by index in the set."""
        found: dict[int, Entry] = {}
        for path in sorted(self.folder.glob("*.jsonl")):
            for entry in self._read(path):
                found[entry[0]] = entry
        return found

    @contextmanager
    def appending(self) -> Iterator[IO[str]]:
        """Open this process's file for new rows, keeping its valid ones."""
        with writing(self.path):
            self.folder.mkdir(parents=True, exist_ok=True)
            kept = list(self._read(self.path)) if self.path.exists() else []
            with atomic_path(self.path) as temporary:
                lines = [json.dumps({"key": self.key}), *map(_line, kept)]
                temporary.write_text("".join(f"{line}\n" for line in lines))
            with self.path.open("a") as handle:
                yield handle

    def append(self, handle: IO[str], entry: Entry) -> None:
        """Add one row and hand it to the operating system at once."""
        handle.write(f"{_line(entry)}\n")
        handle.flush()

    def remove(self) -> None:
        """Drop the journal of a finished evaluation."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _read(self, path: Path) -> Iterator[Entry]:
        lines = path.read_text().split("\n")[:-1]
        if not lines or lines[0] != json.dumps({"key": self.key}):
            return
        for line in lines[1:]:
            index, row, timing = json.loads(line)
            yield index, Row(**row), Timing(**timing)


def _line(entry: Entry) -> str:
    index, row, timing = entry
    return json.dumps([index, asdict(row), asdict(timing)])
