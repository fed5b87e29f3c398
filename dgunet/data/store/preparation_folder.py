"""The locks of a store that is being prepared, and the folder of its finished files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dgunet.system import files
from dgunet.system.errors import DataError
from dgunet.system.file_locks import LockedError, locked
from dgunet.system.parts import Part
from dgunet.system.reading import read_text


@contextmanager
def exclusive(out: Path) -> Iterator[None]:
    """Hold the lock of ``out``; the operating system releases it if the process dies."""
    with _held(out, _lock(out), shared=False):
        yield


@contextmanager
def beside_other_parts(out: Path, part: Part) -> Iterator[None]:
    """Hold the lock of ``part``, and that of ``out`` together with other parts.

    Raises:
        DataError: if this part, or the whole, is being prepared by another process.
    """
    own = _lock(out.with_name(f"{out.name}.{part.number}-of-{part.count}"))
    with _held(out, _lock(out), shared=True), _held(out, own, shared=False):
        try:
            yield
        finally:
            own.unlink(missing_ok=True)


@contextmanager
def _held(out: Path, lock: Path, *, shared: bool) -> Iterator[None]:
    with ExitStack() as stack:
        with files.writing(out):
            try:
                stack.enter_context(locked(lock, shared=shared))
            except LockedError as error:
                raise DataError(
                    f"{out} is being prepared by {error.holder}.",
                    "Wait until it has finished, or choose another --out.",
                ) from None
        yield


@contextmanager
def work_folder(out: Path, identity: str) -> Iterator[Path]:
    """Folder of finished files next to ``out``; kept if a later run can continue from it."""
    work = out.parent / f".{out.name}.work"
    mark = work / "identity"
    if not _has_identity(mark, identity):
        shutil.rmtree(work, ignore_errors=True)
        files.write_text(mark, identity)
    try:
        yield work
    except DataError:
        shutil.rmtree(work, ignore_errors=True)
        raise
    finally:
        if not list(work.glob("*.json")):
            shutil.rmtree(work, ignore_errors=True)
    shutil.rmtree(work, ignore_errors=True)


def _has_identity(mark: Path, identity: str) -> bool:
    try:
        return read_text(mark) == identity
    except (FileNotFoundError, DataError):  # a damaged file has no identity
        return False


@contextmanager
def shared_work_folder(out: Path, identity: str) -> Iterator[Path]:
    """Folder of finished files next to ``out``, which other parts use too; it is always kept.

    Raises:
        DataError: if it has files of a preparation with another identity.
    """
    work = out.parent / f".{out.name}.work"
    mark = work / "identity"
    if not _has_identity(mark, identity):
        if any(work.glob("*")) and not _has_identity(mark, identity):  # unless just begun
            raise DataError(
                f"{work} has files of a preparation from other images or with another recipe.",
                "Use the same images and options for all parts, or remove that folder.",
            )
        files.write_text(mark, identity)
    yield work


def _lock(out: Path) -> Path:
    return out.parent / f".{out.name}.lock"
