"""The per-image table: its rows, the Parquet file, and its checked reading."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dgunet.imaging.arrays import Array
from dgunet.system.errors import EvaluationError
from dgunet.system.files import atomic_path
from dgunet.system.reading import shorten

PSNR_RANGE = (-100.0, 200.0)
"""Range of a finite PSNR in dB, wider than any protocol can give."""

SSIM_RANGE = (-1.0, 1.0 + 1e-9)
"""Range of SSIM; a mean of rounded numbers may exceed 1 by its last digit."""

SIDE = 1 << 20
"""Upper bound in pixels, exclusive, for a side of an image."""

MOST_ROWS = 1_000_000
"""Upper bound for the images of a test set."""

DIGEST = re.compile("[0-9a-f]{64}")

AGAIN = "It was changed after it was written: evaluate that set again."


@dataclass(frozen=True)
class Row:
    """One image of a per-image table.

    Attributes:
        id: the record's name in the set.
        psnr: in dB under the protocol, ``inf`` for identical images where the protocol defines it
            so; None when only a server can score.
        ssim: under the protocol, or None.
        input_psnr: PSNR of the degraded input (for compressive sensing, of Phi^T y), or None.
        input_ssim: its SSIM, or None.
        protocol: the protocol's name.
        protocol_version: the protocol's version.
        height: in pixels.
        width: in pixels.
        restored_sha256: `array_sha256` of the scored array.
        strips: number of strips it was restored in, or None if it was restored at once. Strips
            give the result of the whole image up to rounding.
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
    strips: int | None = None


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
        ("strips", pa.int32()),
    ]
)

_WITH_TILES = pa.schema([*list(_SCHEMA)[:-1], ("tile", pa.int32())])
"""Columns of tables from before this project restored in strips."""


def array_sha256(array: Array) -> str:
    """SHA-256 of ``<type> <shape>\\n`` and the little-endian bytes in C order.

    It identifies the pixels rather than a file, so it does not depend on an image encoder.
    """
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    digest = hashlib.sha256(f"{array.dtype.name} {'x'.join(map(str, array.shape))}\n".encode())
    digest.update(little.data)
    return digest.hexdigest()


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write the per-image table; the same rows give the same bytes."""
    table = pa.Table.from_pylist([asdict(row) for row in rows], schema=_SCHEMA)
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="snappy")


def write_rows_csv(path: Path, rows: Iterable[Row]) -> None:
    """Write the per-image table as CSV with numbers in full precision."""
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as handle,
    ):
        writer = csv.DictWriter(handle, _SCHEMA.names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def parse_row(content: object) -> Row:
    """Check the values of a row that another process or an earlier run wrote.

    Raises:
        ValueError: naming the first field that is missing, unknown, of another type or out of
            range.
    """
    if not isinstance(content, Mapping):
        raise ValueError("the row is not an object")
    names = [field.name for field in fields(Row)]
    if odd := set(content) ^ set(names):
        raise ValueError(f"the field {shorten(min(map(str, odd)))} is missing or unknown")
    for name in names:
        value = content[name]
        if not _FITS[name](value):
            raise ValueError(f"{name} is {shorten(value)}")
    return Row(**content)


def _score(low: float, high: float, *, infinite: bool = False) -> Callable[[Any], bool]:
    def fits(value: Any) -> bool:
        if value is None or (infinite and value == math.inf and isinstance(value, float)):
            return True
        return isinstance(value, float) and low <= value <= high  # NaN is in no range

    return fits


def _whole(value: Any) -> bool:
    return type(value) is int and 1 <= value < SIDE


def _named(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 1024 and value.isprintable()


_FITS: dict[str, Callable[[Any], bool]] = {
    "id": _named,
    "psnr": _score(*PSNR_RANGE, infinite=True),
    "ssim": _score(*SSIM_RANGE),
    "input_psnr": _score(*PSNR_RANGE, infinite=True),
    "input_ssim": _score(*SSIM_RANGE),
    "protocol": _named,
    "protocol_version": _whole,
    "height": _whole,
    "width": _whole,
    "restored_sha256": lambda value: isinstance(value, str) and bool(DIGEST.fullmatch(value)),
    "strips": lambda value: value is None or _whole(value),
}


def parse_rows(content: bytes, origin: str) -> tuple[list[Row], bool]:
    """Parse a per-image table that `write_rows` wrote.

    Returns:
        The rows, and whether an image was restored in tiles with statistics of their own. Only
        tables from before this project restored in strips can have such images; they name the side
        of the tiles in a column ``tile``.

    Raises:
        EvaluationError: naming ``origin`` and the row, if it is not such a table, an id occurs
            twice, or a value is of another type or out of range.
    """
    try:
        file = pq.ParquetFile(io.BytesIO(content))
        known = any(file.schema_arrow.equals(schema) for schema in (_SCHEMA, _WITH_TILES))
        if not known or file.metadata.num_rows > MOST_ROWS:
            raise ValueError("it has other columns or more rows than a per-image table")
        lines = file.read().to_pylist()
    except Exception as error:  # pyarrow's parsers raise errors of any type
        raise EvaluationError(f"{origin} is damaged ({shorten(str(error))}).", AGAIN) from error
    tiled = [line.pop("tile", None) is not None for line in lines]
    rows: list[Row] = []
    seen: set[str] = set()
    for number, line in enumerate(lines, start=1):
        try:
            row = parse_row({"strips": None} | line)
        except ValueError as error:
            raise EvaluationError(f"{origin}, row {number}: {error}.", AGAIN) from error
        if row.id in seen:
            raise EvaluationError(
                f"{origin}, row {number}: the image {shorten(row.id)} occurs twice.", AGAIN
            )
        seen.add(row.id)
        rows.append(row)
    return rows, any(tiled)


def mean(values: Iterable[float | None]) -> float | None:
    """Arithmetic mean with an exactly rounded sum; None when empty or when any value is missing."""
    known = list(values)
    if not known or any(value is None for value in known):
        return None
    return math.fsum(value for value in known if value is not None) / len(known)


def count_infinite(values: Iterable[float | None]) -> int:
    """Number of infinite values: PSNRs of images that equal the ground truth."""
    return sum(value == math.inf for value in values)


Entry = tuple[int, Row, Timing]
"""Index of an image in the set, its row and its seconds."""
