"""One evaluation at a time in a folder of results; those that share it by shards go together.

The locks lie in ``.rows`` of the folder and go with it, so that nothing of them is among the
results that DVC tracks. The operating system frees them when their process dies.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dgunet.evaluation.row_journal import LOCKS
from dgunet.system import files
from dgunet.system.errors import EvaluationError

ROWS = ".rows"
"""The folder of the journal in a folder of results."""

_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)
"""What file systems say that know no locks; there an evaluation goes on without one."""


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Hold the results folder ``out`` against every other evaluation.

    Raises:
        EvaluationError: if another process evaluates into it; names that process.
    """
    with files.writing(out):
        handle = _acquire(out, LOCKS, fcntl.LOCK_EX)
    try:
        yield
    finally:
        folder = out / ROWS
        with suppress(OSError):
            # While it is held, and its own last: nobody can have taken a shard's meanwhile.
            for path in sorted(folder.glob(f"{LOCKS}*"), reverse=True):
                path.unlink(missing_ok=True)
            folder.rmdir()
        os.close(handle)


@contextmanager
def sharing(out: Path, part: str) -> Iterator[None]:
    """Hold the shard ``part`` of an evaluation in ``out``; other shards may go on beside it.

    Raises:
        EvaluationError: if another process evaluates all of it, or the same shard.
    """
    with files.writing(out):
        every = _acquire(out, LOCKS, fcntl.LOCK_SH)
        try:
            own = _acquire(out, f"{LOCKS}-{part}", fcntl.LOCK_EX)
        except BaseException:
            os.close(every)
            raise
    try:
        yield
    finally:
        with suppress(OSError):
            (out / ROWS / f"{LOCKS}-{part}").unlink(missing_ok=True)
        os.close(own)
        os.close(every)


def _acquire(out: Path, name: str, mode: int) -> int:
    path = out / ROWS / name
    while True:
        files.make_folder(path.parent)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:  # its last holder removed the folder just now
            continue
        try:
            _lock(handle, mode, out)
            if _is_still(handle, path):
                os.ftruncate(handle, 0)
                os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _lock(handle: int, mode: int, out: Path) -> None:
    try:
        fcntl.flock(handle, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        who = os.pread(handle, 200, 0).decode(errors="replace") or "another process"
        raise EvaluationError(
            f"{out} is being evaluated by {who}.", "Wait for it, or choose another --out."
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def _is_still(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
