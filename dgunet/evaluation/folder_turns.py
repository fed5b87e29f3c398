"""One evaluation at a time in a folder of results.

The lock is a file in ``.rows`` of the folder and is removed with it, so that DVC does not track it.
The operating system releases it when its process ends.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dgunet.evaluation.row_journal import LOCK
from dgunet.system import files
from dgunet.system.errors import EvaluationError

ROWS = ".rows"
"""Folder of the journals within a folder of results."""

_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)
"""Errors of file systems without locks; an evaluation there proceeds without one."""


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Lock the results folder ``out`` against other evaluations.

    Raises:
        EvaluationError: if another process holds the lock; the message names it.
    """
    with files.writing(out):
        handle = _acquire(out)
    try:
        yield
    finally:
        with suppress(OSError):
            (out / ROWS / LOCK).unlink(missing_ok=True)
            (out / ROWS).rmdir()
        os.close(handle)


def _acquire(out: Path) -> int:
    path = out / ROWS / LOCK
    while True:
        files.make_folder(path.parent)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:  # the last holder has just removed the folder
            continue
        try:
            _lock(handle, out)
            if _is_same_file(handle, path):
                os.ftruncate(handle, 0)
                os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _lock(handle: int, out: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        who = os.pread(handle, 200, 0).decode(errors="replace") or "another process"
        raise EvaluationError(
            f"{out} is being evaluated by {who}.", "Wait for it, or choose another --out."
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def _is_same_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
