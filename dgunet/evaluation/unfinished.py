"""Where an evaluation is made until its results are complete, and its lock.

It is not the folder of the results, which DVC empties before a stage::

    ROOT/Rain100L-DGUNet-1a2b3c4d/lock             of one folder of results
    ROOT/Rain100L-DGUNet-1a2b3c4d/<key>/           of one evaluation: rows, kept images, boxes

The operating system releases the lock when its process ends.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dgunet.system import files, leftovers
from dgunet.system.errors import EvaluationError

LOCK = "lock"

RESULTS = frozenset({"summary.json", "per_image.parquet", "restored", "bundled"})
"""What a folder of results may contain; it is replaced as a whole."""

_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)
"""Errors of file systems without locks; an evaluation there proceeds without one."""


def place_of(root: Path, name: str, out: Path) -> Path:
    """The place in ``root`` of the evaluations whose results go to ``out``.

    Args:
        root: folder of all unfinished evaluations.
        name: what a person recognises it by.
        out: folder of the results.
    """
    return root / f"{name}-{files.sha256_bytes(str(out.resolve()).encode())[:8]}"


def work_folder(place: Path, key: str) -> Path:
    """The folder at ``place`` of the evaluation that ``key`` identifies."""
    return place / key[:16]


@contextmanager
def alone(place: Path, out: Path) -> Iterator[None]:
    """Lock ``place`` against other evaluations into the results folder ``out``.

    Raises:
        EvaluationError: if another process holds the lock (the message names it), or if ``out``
            contains something that is not a result, which would be lost.
    """
    _refuse_other_content(out)
    with files.writing(place):
        handle = _acquire(place, out)
    try:
        yield
    finally:
        with suppress(OSError):
            (place / LOCK).unlink(missing_ok=True)
            place.rmdir()
        os.close(handle)


def forget(place: Path) -> None:
    """Remove the work of killed evaluations at ``place``; the caller holds its lock."""
    for path in place.iterdir():
        if path.name != LOCK:
            leftovers.remove(path)


def _refuse_other_content(out: Path) -> None:
    files.check_folder(out)
    for path in sorted(out.iterdir()) if out.is_dir() else ():
        if path.name not in RESULTS and not path.name.startswith("."):
            raise EvaluationError(
                f"{out} contains {path.name}, which is not a result of an evaluation.",
                "Move it away, or choose another --out: the folder is replaced as a whole.",
            )


def _acquire(place: Path, out: Path) -> int:
    path = place / LOCK
    while True:
        files.make_folder(place)
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
