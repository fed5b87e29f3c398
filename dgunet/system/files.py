"""Files and folders that are whole or absent, power failures included; digests; clear errors.

The promise of `atomic_path`, `atomic_folder` and the ``write_`` functions: when they return, the
new content is on the disk under its final name; before that, a kill or a power failure at any
moment leaves the old content or the new one under that name, whole. For that, content is flushed to
the disk before the rename and the folder that holds the name after it, and a folder takes the place
of another in one step where the system can exchange two names (Linux; elsewhere the old one is
moved aside for a moment, and `dgunet.system.leftovers` moves it back after a kill).
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from dgunet.system import leftovers
from dgunet.system.errors import DgunetError

_MENDS = {
    errno.ENOSPC: ("the disk is full", "Free some space and run the same command again."),
    errno.EDQUOT: ("the disk quota is used up", "Free some space and run the same command again."),
    errno.EACCES: ("permission denied", "Choose a folder that you may write to."),
    errno.EPERM: ("operation not permitted", "Choose a folder that you may write to."),
    errno.EROFS: ("the file system is read-only", "Choose a folder that you may write to."),
    errno.ENAMETOOLONG: ("the name is too long", "Choose a shorter name."),
    errno.ENOTDIR: ("a file stands where a folder should be", "Choose another place."),
    errno.EISDIR: ("a folder stands where a file should be", "Choose another place."),
    errno.EEXIST: ("something stands there already", "Choose another place, or move it away."),
    errno.ENOTEMPTY: ("something stands there already", "Choose another place, or move it away."),
    errno.EIO: ("the disk reports an error", "Check the disk before you trust what is on it."),
}

_REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)


def refused(error: BaseException) -> bool:
    """Whether the operating system refused to write: no space, no right, or only for reading."""
    return isinstance(error, OSError) and error.errno in _REFUSALS


def explain(error: OSError) -> tuple[str, str] | None:
    """What the operating system's error means and what to do about it; None if unknown here."""
    return _MENDS.get(error.errno or 0)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals while writing ``path`` into one clear line.

    Raises:
        DgunetError: for a full disk, a quota, a read-only or forbidden folder, a name that is too
            long or taken by something else.
    """
    try:
        yield
    except OSError as error:
        known = explain(error)
        if known is None:
            raise
        raise DgunetError(f"cannot write {path}: {known[0]}.", known[1]) from error


def check_folder(path: Path, option: str = "--out") -> None:
    """Refuse ``path`` as a folder to write into if it, or what it lies in, is a file.

    Raises:
        DgunetError: naming ``option``.
    """
    for place in (path, *path.parents):
        if place.is_dir():
            return
        if place.exists() or place.is_symlink():
            raise DgunetError(f"{option} {path}: {place} is no folder.", "Name a folder.")


def check_file(path: Path, option: str = "--out") -> None:
    """Refuse ``path`` as a file to write if it is a folder, or lies in a file.

    Raises:
        DgunetError: naming ``option``.
    """
    if path.is_dir():
        raise DgunetError(f"{option} {path} is a folder.", "Name a file.")
    check_folder(path.parent, option)


def sync(path: Path) -> None:
    """Flush a file's content, or a folder's names, to the disk.

    A file system that cannot flush a folder (some network ones) is left to its own promises.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Flush every file and folder in ``folder``, then ``folder`` itself."""
    for here, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = Path(here, name)
            if path.is_file() and not path.is_symlink():
                sync(path)
        sync(Path(here))


def make_folder(path: Path) -> None:
    """Make ``path`` and the folders above it; their names are on the disk when this returns."""
    missing = []
    here = path
    while not here.exists():
        missing.append(here)
        here = here.parent
    while True:
        try:
            path.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            if path.exists():  # and is no folder
                raise
        else:
            break  # else another process removed it between two looks
    for made in missing:
        sync(made.parent)


def rename(source: Path, target: Path) -> None:
    """Rename a file or folder; the new name is on the disk when this returns.

    The content must have been flushed before.
    """
    source.rename(target)
    sync(target.parent)
    if source.parent != target.parent:
        sync(source.parent)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it into place when the block succeeds.

    An interruption at any moment leaves either the old file or the new one, never a part.
    The temporary name keeps the suffix, because image libraries choose the format by it.
    """
    with writing(path):
        make_folder(path.parent)
        _tidy(path.parent)
        temporary = path.with_name(leftovers.partial_name(path.stem, suffix=path.suffix))
        try:
            yield temporary
            _not_private(temporary)
            sync(temporary)
            temporary.replace(path)
            sync(path.parent)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def _not_private(path: Path) -> None:
    """Give a file that a library made for its owner only the rights of any new file beside it.

    safetensors does so, and another user's container could not read the weights.
    """
    if path.stat().st_mode & 0o077:
        return
    plain = path.with_name(leftovers.partial_name("rights"))
    plain.touch()
    path.chmod(plain.stat().st_mode & 0o777)
    plain.unlink()


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give an empty temporary folder; it replaces ``path`` when the block succeeds.

    The replacement is one step: at no moment is there neither the old folder nor the new one.
    """
    with partial_folder(path) as temporary:
        yield temporary
        sync_tree(temporary)
        if not path.exists() and not path.is_symlink():
            rename(temporary, path)
        elif _exchange(temporary, path):
            sync(path.parent)  # what was there is under the temporary name now
        else:
            old = path.with_name(leftovers.partial_name(path.name, "old"))
            path.rename(old)
            rename(temporary, path)
            leftovers.remove(old)


@contextmanager
def partial_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside ``path`` that is removed at the end, for making ``path`` in.

    What dead processes left beside ``path`` is removed first.
    """
    with writing(path):
        make_folder(path.parent)
        _tidy(path.parent, every_time=True)
        temporary = path.with_name(leftovers.partial_name(path.name))
        temporary.mkdir()
        try:
            yield temporary
        finally:
            leftovers.remove(temporary)


_tidied: set[Path] = set()


def _tidy(folder: Path, *, every_time: bool = False) -> None:
    """Remove what dead processes left in ``folder``; files' folders are looked at once."""
    if every_time or folder not in _tidied:
        _tidied.add(folder)
        leftovers.remove_dead(folder)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two names in one step; False where the system or file system cannot."""
    call = _renameat2()
    if call is None:
        return False
    here, swap = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if call(here, os.fsencode(first), here, os.fsencode(second), swap) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM):
        return False
    raise OSError(number, os.strerror(number), str(second))


@cache
def _renameat2() -> Any:
    try:
        return ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return None


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write ``content`` to ``path`` atomically as UTF-8 with Unix line ends."""
    write_bytes(path, content.encode())


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` to ``path`` atomically as indented JSON, keys in the order given."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def sha256_bytes(content: bytes) -> str:
    """Hexadecimal SHA-256 of ``content``."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of the file at ``path``, read in pieces."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sha256_source(path: Path) -> str:
    """Hexadecimal SHA-256 of a source file with Unix line ends, whatever the clone made of them."""
    return sha256_bytes(path.read_bytes().replace(b"\r\n", b"\n"))


def sha256_json(content: Any) -> str:
    """Hexadecimal SHA-256 of ``content`` as canonical JSON (sorted keys, no spaces)."""
    return sha256_bytes(json.dumps(content, sort_keys=True, separators=(",", ":")).encode())


def tree_digest(
    folder: Path,
    pattern: str = "*",
    *,
    digest: Callable[[Path], str] = sha256_file,
    keep: Callable[[Path], bool] = lambda path: True,
) -> str:
    """SHA-256 over the sorted lines ``<sha256>  <relative path>`` of the files in ``folder``.

    ``pattern`` and ``keep`` choose files, at any depth; ``digest`` is taken of each.
    """
    files = sorted(p for p in folder.rglob(pattern) if p.is_file() and keep(p))
    lines = [f"{digest(p)}  {p.relative_to(folder).as_posix()}\n" for p in files]
    return sha256_bytes("".join(lines).encode())
