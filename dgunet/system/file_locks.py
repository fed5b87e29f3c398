"""Locks on files, held by one process alone or shared; the system releases them when it ends.

They are the locks that the package `filelock` takes. It has no shared ones, on which the parts of a
whole work beside each other.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dgunet.system import files

_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)
"""Errors of file systems without locks, on which a process proceeds without one."""


class LockedError(Exception):
    """Another process holds the lock.

    Attributes:
        holder: the process that took it last, such as "process 12 on host".
    """

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


@contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock of the file at ``path`` within the block; the file stays.

    Raises:
        LockedError: as `take`.
    """
    handle = take(path, shared=shared)
    try:
        yield
    finally:
        os.close(handle)


def take(path: Path, *, shared: bool = False) -> int:
    """Lock the file at ``path`` without waiting, and write this process's id and host into it.

    The file and its folder are created. Whoever holds the lock alone may remove them.

    Args:
        path: the file.
        shared: let other processes take it too, if they share it.

    Returns:
        The file's descriptor; closing it releases the lock.

    Raises:
        LockedError: if a process holds it alone, or any process if it is not to be shared.
        OSError: if the file cannot be written.
    """
    while True:
        files.make_folder(path.parent)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:  # the last holder has just removed the folder
            continue
        try:
            _lock(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
            if _is_same_file(handle, path):
                os.ftruncate(handle, 0)
                os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _lock(handle: int, kind: int) -> None:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(handle, 200, 0).decode(errors="replace")
        raise LockedError(holder or "another process") from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def _is_same_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
