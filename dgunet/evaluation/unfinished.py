"""Where an evaluation is made until its results are complete, and its lock.

It is not the folder of the results, which DVC empties before a stage, and its name does not depend
on that folder, which Kubeflow Pipelines chooses anew for every execution::

    ROOT/Rain100L-DGUNet-<16 digits of the key>/work/   of one evaluation: rows, kept images, boxes
    ROOT/Rain100L-DGUNet-<16 digits of the key>/lock    of this work
    ROOT/Rain100L-DGUNet-<8 digits of the path>/lock    of one folder of results
    ROOT/Rain100L-DGUNet-<16 digits of the key>-2-of-4/lock    of one of its parts

A part of an evaluation shares the lock of its work with the other parts; nothing else may hold it
then. The operating system releases a lock when its process ends.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dgunet.system import files, leftovers
from dgunet.system.errors import EvaluationError
from dgunet.system.file_locks import LockedError, take
from dgunet.system.seals import SEAL

LOCK = "lock"

WORK = "work"

LOCK_SECONDS = 120.0
"""How long an evaluation waits for the work of an equal one; a server of network files keeps the
lock of a dead machine for a while."""

RESULTS = frozenset({"summary.json", "per_image.parquet", "restored", "bundled", SEAL})
"""What a folder of results may contain; it is replaced as a whole."""

logger = logging.getLogger(__name__)


def place_of(root: Path, name: str, key: str) -> Path:
    """The place in ``root`` of the work of one evaluation, on which a killed one goes on.

    Args:
        root: folder of all unfinished evaluations.
        name: what a person recognises it by.
        key: digest of all that determines its rows.
    """
    return root / f"{name}-{key[:16]}"


def lock_of(root: Path, name: str, out: Path) -> Path:
    """The place in ``root`` of the lock of the results folder ``out``."""
    return root / f"{name}-{files.sha256_bytes(str(out.resolve()).encode())[:8]}"


@contextmanager
def alone(place: Path, out: Path, *, seconds: float = 0) -> Iterator[None]:
    """Lock ``place`` against other evaluations into the results folder ``out``, or equal ones.

    Args:
        place: contains the lock; see `place_of` and `lock_of`.
        out: folder of the results.
        seconds: how long to wait for another process.

    Raises:
        EvaluationError: if another process holds the lock (the message names it), or if ``out``
            contains something that is not a result, which would be lost.
    """
    _refuse_other_content(out)
    with files.writing(place):
        handle = _acquire_within(seconds, place, out)
    try:
        yield
    finally:
        with suppress(OSError):
            (place / LOCK).unlink(missing_ok=True)
            place.rmdir()
        os.close(handle)


@contextmanager
def beside_other_parts(place: Path, out: Path, *, seconds: float = 0) -> Iterator[None]:
    """Lock ``place`` against everything but the other parts of the same evaluation.

    Args:
        place: the place of the work, see `place_of`.
        out: folder of the results that the parts are for; for the error.
        seconds: how long to wait for a whole evaluation.

    Raises:
        EvaluationError: if a process holds the lock for a whole evaluation; the message names it.
    """
    with files.writing(place):
        handle = _acquire_within(seconds, place, out, shared=True)
    try:
        yield
    finally:  # the file stays: another part may hold its lock
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


def _acquire_within(seconds: float, place: Path, out: Path, *, shared: bool = False) -> int:
    end, told = time.monotonic() + seconds, False
    while True:
        try:
            return _acquire(place, out, shared)
        except EvaluationError as error:
            if time.monotonic() >= end:
                raise
            if not told:
                logger.warning("%s Waiting up to %.0f s for it.", error, seconds)
            told = True
        time.sleep(min(0.5, seconds))


def _acquire(place: Path, out: Path, shared: bool) -> int:
    try:
        return take(place / LOCK, shared=shared)
    except LockedError as error:
        raise EvaluationError(
            f"{out} is being evaluated by {error.holder}.",
            "Wait for its end, or stop it. Other weights or data can also be evaluated into another"
            " --out.",
        ) from None
