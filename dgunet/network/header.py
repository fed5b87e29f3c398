"""Header of a safetensors file, checked before any tensor is read.

A file consists of the length of its header (8 bytes, little-endian), the header (a JSON object with
``dtype``, ``shape`` and ``data_offsets`` by tensor name, and strings under ``__metadata__``), and
the data.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dgunet.system.errors import CheckpointError
from dgunet.system.reading import decode, open_regular, parse_json, shorten

HEADER_BYTES = 16 << 20
"""Largest header size; the header of the paper's largest network has 300 kB."""

BITS = {
    "F64": 64, "I64": 64, "U64": 64, "C64": 64, "F32": 32, "I32": 32, "U32": 32,
    "F16": 16, "BF16": 16, "I16": 16, "U16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "I8": 8, "U8": 8,
    "BOOL": 8,
}  # fmt: skip
"""Bits per element, by the name that the format uses for the data type."""


@dataclass(frozen=True)
class Header:
    """The header of a file: shapes of its tensors by name, and its metadata."""

    shapes: dict[str, tuple[int, ...]]
    metadata: dict[str, str]


def read_header(path: Path) -> Header:
    """Read and check the header of the safetensors file at ``path``.

    Raises:
        CheckpointError: if there is no such file, it is not a regular file, or its header is too
            long, not JSON, or describes tensors that the file does not contain.
    """
    try:
        file = open_regular(path, kind=CheckpointError)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist.", "Check the path.") from error
    with file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            raise unreadable(path, "it is truncated or has another format")
        if length > HEADER_BYTES:
            raise unreadable(path, f"its header is longer than {HEADER_BYTES:,} bytes")
        text = file.read(length)
    origin = f"the header of {path}"
    entries = parse_json(decode(text, origin, kind=CheckpointError), origin, kind=CheckpointError)
    if not isinstance(entries, dict):
        raise unreadable(path, "its header is not a JSON object")
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise unreadable(path, "its metadata is not a mapping of strings")
    data_bytes = size - 8 - length
    return Header(
        {name: _shape(path, name, entry, data_bytes) for name, entry in entries.items()}, metadata
    )


def _shape(path: Path, name: str, entry: Any, data_bytes: int) -> tuple[int, ...]:
    """Return the shape of one tensor after checking that its data is in the file.

    Args:
        path: the file.
        name: name of the tensor.
        entry: its entry in the header.
        data_bytes: bytes of data in the file.
    """
    try:
        shape, (start, end) = tuple(entry["shape"]), entry["data_offsets"]
        bits = BITS.get(str(entry["dtype"]), 0)
        sizes = (*shape, start, end)
        good = all(type(size) is int and 0 <= size < 2**48 for size in sizes) and len(shape) <= 8
        if not good or not start <= end <= data_bytes:
            raise ValueError
        if bits and math.prod(shape) * bits != 8 * (end - start):
            raise ValueError
    except (KeyError, TypeError, ValueError) as error:
        raise unreadable(path, f"its header entry {shorten(name)} is invalid") from error
    return shape


def unreadable(path: Path, reason: object) -> CheckpointError:
    """Return the error for a file that is not a complete safetensors file."""
    hint = "Copy the file again, or train the network again."
    if path.suffix in (".pth", ".pkl", ".pt"):
        hint = "For the authors' checkpoints run `dgunet checkpoint import FILE`."
    return CheckpointError(f"{path} is not a readable safetensors file ({reason}).", hint)
