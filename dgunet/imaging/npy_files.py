"""Reading of untrusted ``.npy`` files: the header must agree with the size of the file."""

from __future__ import annotations

import math
import os
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
