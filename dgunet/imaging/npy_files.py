"""Reading of untrusted ``.npy`` and ``.npz`` files: headers must agree with the files' sizes."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from dgunet.system.errors import DataError, DgunetError
from dgunet.system.reading import open_regular

_HINT = "Save it again with numpy.save."


def read_npy(path: Path, *, kind: type[DgunetError] = DataError, hint: str = _HINT) -> NDArray[Any]:
    """Read the array in ``path`` after comparing the size in its header with the file's.

    Args:
        path: a regular file with one array (``.npy``), not an archive (``.npz``).
        kind: class of the error.
        hint: what to do about an error.

    Raises:
        FileNotFoundError: if the file does not exist.
        DgunetError: of ``kind``, for another kind of file, an array of objects, or a header that is
            damaged or does not match the size of the file.
    """
    try:
        with open_regular(path, kind=kind) as handle:
            version = npy.read_magic(handle)
            header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = header(handle)
            if dtype.hasobject:
                raise ValueError("it holds objects, not numbers")
            claimed = math.prod(shape) * dtype.itemsize
            here = os.fstat(handle.fileno()).st_size - handle.tell()
            if claimed != here or min(shape, default=1) < 0:
                raise ValueError(
                    f"its header states {dtype} {shape}, {claimed:,} bytes, but {here:,} follow"
                )
            handle.seek(0, os.SEEK_SET)
            return np.asarray(np.load(handle, allow_pickle=False))
    except (FileNotFoundError, DgunetError):
        raise
    except MemoryError as error:
        raise MemoryError(str(path)) from error
    except Exception as error:  # the parser of the header raises errors of any type
        reason = " ".join(str(error).split())[:300]
        raise kind(f"{path} is not a NumPy array ({reason}).", hint) from error


def npz_shapes(path: Path, *, kind: type[DgunetError] = DataError) -> dict[str, tuple[int, ...]]:
    """Read the shapes of the arrays in a ``.npz`` archive by name, without their values.

    Raises:
        FileNotFoundError: if the file does not exist.
        DgunetError: of ``kind``, for another kind of file, arrays of objects, or a header that does
            not match the size of its member.
    """
    with _opened_npz(path, kind) as archive:
        return {
            name.removesuffix(".npy"): _checked_member(archive, name)[0]
            for name in archive.namelist()
        }


def read_npz(
    path: Path, name: str, most: int, *, kind: type[DgunetError] = DataError
) -> NDArray[Any]:
    """Read the array ``name`` of a ``.npz`` archive.

    Args:
        path: the archive.
        name: a key of `npz_shapes`.
        most: largest number of bytes of the array.
        kind: class of the error.

    Raises:
        DgunetError: of ``kind``, as for `npz_shapes`, or for a larger array.
    """
    with _opened_npz(path, kind) as archive:
        _, size = _checked_member(archive, f"{name}.npy")
        if size > most:
            raise kind(f"{path}: {name} has {size:,} bytes, at most {most:,} are read.", _HINT)
        with archive.open(f"{name}.npy") as member:
            return np.asarray(npy.read_array(member, allow_pickle=False))


def _checked_member(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], int]:
    if not name.endswith(".npy"):
        raise ValueError(f"its member {name[:100]} is not an array")
    with archive.open(name) as member:
        version = npy.read_magic(member)
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = header(member)
        size = math.prod(shape) * dtype.itemsize
        if dtype.hasobject:
            raise ValueError(f"{name} holds objects, not numbers")
        if size != archive.getinfo(name).file_size - member.tell() or min(shape, default=1) < 0:
            raise ValueError(f"the header of {name} does not match its size")
        return shape, size


@contextmanager
def _opened_npz(path: Path, kind: type[DgunetError]) -> Iterator[zipfile.ZipFile]:
    try:
        with open_regular(path, kind=kind) as handle, zipfile.ZipFile(handle) as archive:
            yield archive
    except (FileNotFoundError, DgunetError):
        raise
    except MemoryError as error:
        raise MemoryError(str(path)) from error
    except Exception as error:  # damaged archives and headers raise errors of any type
        reason = " ".join(str(error).split())[:300]
        raise kind(
            f"{path} is not a NumPy archive ({reason}).", "Save it again with numpy.savez."
        ) from error
