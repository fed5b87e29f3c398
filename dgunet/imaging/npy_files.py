"""Reading ``.npy`` files of strangers: the header is believed only as far as the file reaches."""

from __future__ import annotations

import math
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from dgunet.system.errors import DataError, DgunetError

_HINT = "Save it again with numpy.save."


def read_npy(path: Path, *, kind: type[DgunetError] = DataError, hint: str = _HINT) -> NDArray[Any]:
    """The array in ``path``, in memory; its size is compared with the file's before.

    Args:
        path: of a regular file in numpy's own format, not an archive of several (``.npz``).
        kind: of the error.
        hint: what to do about it.

    Raises:
        FileNotFoundError: if nothing is there.
        DgunetError: of ``kind``, for another kind of file, objects, or a header that is damaged or
            claims another size than the file has.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise kind(f"{path} is not a regular file.", hint)
        with path.open("rb") as handle:
            version = npy.read_magic(handle)
            header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = header(handle)
            if dtype.hasobject:
                raise ValueError("it holds objects, not numbers")
            claimed = math.prod(shape) * dtype.itemsize
            here = status.st_size - handle.tell()
            if claimed != here or min(shape, default=1) < 0:
                raise ValueError(
                    f"its header claims {dtype} {shape}, {claimed:,} bytes, and {here:,} follow"
                )
            handle.seek(0, os.SEEK_SET)
            return np.asarray(np.load(handle, allow_pickle=False))
    except (FileNotFoundError, DgunetError):
        raise
    except MemoryError as error:
        raise MemoryError(str(path)) from error
    except Exception as error:  # the header is a Python literal: its parser raises many things
        told = " ".join(str(error).split())[:300]
        raise kind(f"{path} is no array of numpy ({told}).", hint) from error
