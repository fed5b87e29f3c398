"""What a safetensors file says of itself, read with bounds before any of its tensors.

A file is the length of its header (8 bytes, little-endian), the header as a JSON object of tensor
names with ``dtype``, ``shape`` and ``data_offsets`` (and texts under ``__metadata__``), the data.
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
"""A header is at most this long; that of the largest network of the paper has 300 kB."""

BITS = {
    "F64": 64, "I64": 64, "U64": 64, "C64": 64, "F32": 32, "I32": 32, "U32": 32,
    "F16": 16, "BF16": 16, "I16": 16, "U16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "I8": 8, "U8": 8,
    "BOOL": 8,
}  # fmt: skip
"""Bits of a number, by the format's name of its kind."""


@dataclass(frozen=True)
class Header:
    """Names and shapes of the tensors in a file, and its texts."""

    shapes: dict[str, tuple[int, ...]]
    metadata: dict[str, str]


def read_header(path: Path) -> Header:
    """The header of the safetensors file at ``path``.

    Raises:
        CheckpointError: if there is no such file, it is no regular one, or its header is too long,
            not JSON, or names what the file does not hold.
    """
    try:
        file = open_regular(path, kind=CheckpointError)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist.", "Check the path.") from error
    with file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            raise unreadable(path, "it is cut off, or no such file at all")
        if length > HEADER_BYTES:
            raise unreadable(path, f"its header is longer than {HEADER_BYTES:,} bytes")
        text = file.read(length)
    origin = f"{path}, its header"
    told = parse_json(decode(text, origin, kind=CheckpointError), origin, kind=CheckpointError)
    if not isinstance(told, dict):
        raise unreadable(path, "its header is no JSON object")
    metadata = told.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise unreadable(path, "its metadata are no texts")
    room = size - 8 - length
    return Header({name: _shape(path, name, fact, room) for name, fact in told.items()}, metadata)


def _shape(path: Path, name: str, fact: Any, room: int) -> tuple[int, ...]:
    """The shape of one tensor whose numbers lie in the file."""
    try:
        shape, (start, end) = tuple(fact["shape"]), fact["data_offsets"]
        bits = BITS.get(str(fact["dtype"]), 0)
        sizes = (*shape, start, end)
        good = all(type(size) is int and 0 <= size < 2**48 for size in sizes) and len(shape) <= 8
        if not good or not start <= end <= room:
            raise ValueError
        if bits and math.prod(shape) * bits != 8 * (end - start):
            raise ValueError
    except (KeyError, TypeError, ValueError) as error:
        what = f"what it says of {shorten(name)} is wrong"
        raise unreadable(path, what) from error
    return shape


def unreadable(path: Path, reason: object) -> CheckpointError:
    """The error for a file that is no whole safetensors file."""
    hint = "Copy or train it again."
    if path.suffix in (".pth", ".pkl", ".pt"):
        hint = "For the authors' checkpoints run `dgunet checkpoint import FILE`."
    return CheckpointError(f"{path} is not a readable safetensors file ({reason}).", hint)
