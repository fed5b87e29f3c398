"""Checked reading of written tables: each file must have its SHA-256 in ``index.json``.

The seal covers ``index.json``. Not detected: a file that was changed together with its digest in
``index.json`` and the seal. Therefore `dgunet.steps.report` recomputes a cell if its evaluations
are available.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dgunet.system.errors import DataError
from dgunet.system.files import sha256_bytes, sha256_file
from dgunet.system.reading import read_bytes, read_mapping, shorten
from dgunet.system.safe_paths import inside
from dgunet.system.seals import check_seal

INDEX, CELLS = "index.json", "cells.parquet"

AGAIN = "It was changed after it was written: make the tables again with `dgunet tables`."


SCHEMA = pa.schema(
    [
        ("table", pa.int32()),
        ("row", pa.string()),
        ("column", pa.string()),
        ("metric", pa.string()),
        ("source", pa.string()),
        ("value", pa.float64()),
        ("shown", pa.string()),
        ("state", pa.string()),
        ("note", pa.string()),
        ("published", pa.string()),
        ("rank", pa.string()),
        ("reference", pa.int32()),
        ("verdict", pa.string()),
        ("difference", pa.float64()),
        ("tolerance", pa.float64()),
        ("tolerance_reason", pa.string()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("confidence", pa.float64()),
        ("dataset", pa.string()),
        ("key", pa.string()),
        ("ratio", pa.int32()),
        ("data_digest", pa.string()),
        ("checkpoint_sha256", pa.string()),
        ("protocol", pa.string()),
        ("protocol_version", pa.string()),
        ("images", pa.int64()),
        ("published_images", pa.int64()),
        ("per_image_sha256", pa.string()),
        ("selection", pa.string()),
        ("weights", pa.string()),
        ("profile", pa.string()),
        ("tables_profile", pa.string()),
        ("tables_data_digest", pa.string()),
        ("title", pa.string()),
    ]
)
"""Columns of the Parquet files: the cell, then the stamp of its table."""

_NULLABLE = {
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.string(): pd.StringDtype(),
}


def read_cells(path: Path) -> pd.DataFrame:
    """Read ``cells.parquet`` or ``tableN.parquet``, one line per cell with its provenance.

    Missing numbers stay missing and integers stay integers.

    Raises:
        FileNotFoundError: if the file does not exist.
        DataError: if its SHA-256 is not the one in ``index.json`` in the same folder, or it is not
            such a file.
    """
    content = read_bytes(path)
    known = listed_digests(path.parent)
    if path.name not in known:
        raise DataError(f"{path.parent / INDEX} does not list {path.name}.", AGAIN)
    _compare(path, sha256_bytes(content), known[path.name])
    try:
        file = pq.ParquetFile(io.BytesIO(content))
        if not file.schema_arrow.equals(SCHEMA):
            raise ValueError("it has other columns than the tables' cells")
        return as_frame(file.read())
    except Exception as error:  # pyarrow's parsers raise errors of any type
        raise DataError(f"{path} is damaged ({shorten(str(error))}).", AGAIN) from error


def check_tables(folder: Path, *, sealed: bool = True) -> None:
    """Compare every file of the tables in ``folder`` with its SHA-256 in ``index.json``.

    Args:
        folder: folder of the tables.
        sealed: check the seal too, which covers ``index.json``.

    Raises:
        DataError: naming the first file that is missing, has another SHA-256 or was added; if
            there is no seal.
    """
    for name, digest in listed_digests(folder).items():
        path = inside(folder, name, origin=str(folder / INDEX))
        if not path.is_file():
            raise DataError(f"{path} is missing.", AGAIN)
        _compare(path, sha256_file(path), digest)
    if sealed:
        check_tables_seal(folder)


def check_tables_seal(folder: Path) -> None:
    """Compare the tables in ``folder`` with their seal.

    Raises:
        DataError: naming the first file that was changed, removed or added, or if there is no
            seal.
    """
    check_seal(folder, again=AGAIN)


def as_frame(cells: pa.Table) -> pd.DataFrame:
    """Cells in pandas; missing numbers stay missing and integers stay integers."""
    frame: pd.DataFrame = cells.to_pandas(types_mapper=_NULLABLE.get)
    return frame


def _compare(path: Path, found: str, stated: str) -> None:
    if found != stated:
        raise DataError(f"{path} has the SHA-256 {found}; its {INDEX} states {stated}.", AGAIN)


def listed_digests(folder: Path) -> dict[str, str]:
    """SHA-256 by file name, from the ``index.json`` of the tables in ``folder``.

    Raises:
        DataError: if it is missing or damaged.
    """
    path = folder / INDEX
    try:
        content = read_mapping(path)
    except FileNotFoundError:
        raise DataError(f"{path} is missing; it has the digests of the tables.", AGAIN) from None
    try:
        groups = (*content["tables"], content["verdicts"], content["twins"])
        entries = [file for group in groups for file in group["files"].values()]
        return {_text(e["path"]): _text(e["sha256"]) for e in (*entries, content["cells"])}
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} is not an index of tables ({shorten(str(error))}).", AGAIN
        ) from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{shorten(value)} is not a string")
    return value
