"""Atomic writing of files and folders, digests, and explanations of system errors.

When `atomic_path`, `atomic_folder` and the ``write_`` functions return, the new content is on the
disk under its final name. A kill or a power failure before that leaves either the complete old or
the complete new content under that name. Content is flushed to the disk before it is renamed, and
the folder afterwards. A folder replaces another one in one step where the system can exchange two
names (Linux). Elsewhere, the old folder is moved aside first, and `dgunet.system.leftovers` moves
it back after a kill.
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

_EXPLANATIONS = {
    errno.ENOSPC: ("the disk is full", "Free some space and run the same command again."),
    errno.EDQUOT: ("the disk quota is used up", "Free some space and run the same command again."),
    errno.EACCES: ("permission denied", "Choose a folder that you may write to."),
    errno.EPERM: ("operation not permitted", "Choose a folder that you may write to."),
    errno.EROFS: ("the file system is read-only", "Choose a folder that you may write to."),
    errno.ENAMETOOLONG: ("the name is too long", "Choose a shorter name."),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "Choose another path."),
    errno.EISDIR: ("the path is a folder, not a file", "Choose another path."),
    errno.EEXIST: ("the path exists already", "Choose another path, or move it away."),
    errno.ENOTEMPTY: ("the path exists already", "Choose another path, or move it away."),
    errno.EIO: ("the disk reports an error", "Check the disk and the files on it."),
}

_REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)


def refused(error: BaseException) -> bool:
    """Return whether the system refused to write: no space, no permission, or read-only."""
    return isinstance(error, OSError) and error.errno in _REFUSALS


def explain(error: OSError) -> tuple[str, str] | None:
    """Return the meaning and a hint for an error of the operating system; None if unknown."""
    return _EXPLANATIONS.get(error.errno or 0)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Convert errors of the operating system while writing ``path`` into a `DgunetError`.

    Raises:
        DgunetError: for a full disk or quota, a folder without write permission, a name that is
            too long, or a path that exists already.
        OSError: any other error, unchanged.
    """
    try:
        yield
    except OSError as error:
        known = explain(error)
        if known is None:
            raise
        raise DgunetError(f"cannot write {path}: {known[0]}.", known[1]) from error


def check_folder(path: Path, option: str = "--out") -> None:
    """Check that ``path`` can be a folder to write into.

    Args:
        path: the folder; it need not exist.
        option: the command line option that names it, for errors.

    Raises:
        DgunetError: if the path or one of its parents is a file.
    """
    for ancestor in (path, *path.parents):
        if ancestor.is_dir():
            return
        if ancestor.exists() or ancestor.is_symlink():
            raise DgunetError(f"{option} {path}: {ancestor} is not a folder.", "Choose a folder.")


def check_file(path: Path, option: str = "--out") -> None:
    """Check that ``path`` can be a file to write.

    Args:
        path: the file; it need not exist.
        option: the command line option that names it, for errors.

    Raises:
        DgunetError: if the path is a folder, or one of its parents is a file.
    """
    if path.is_dir():
        raise DgunetError(f"{option} {path} is a folder.", "Choose a file.")
    check_folder(path.parent, option)


def sync(path: Path) -> None:
    """Flush the content of a file, or the names in a folder, to the disk.

    File systems that cannot flush a folder (some network file systems) are not an error.
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
    """Create ``path`` and its parents; their names are on the disk when this returns."""
    missing = []
    here = path
    while not here.exists():
        missing.append(here)
        here = here.parent
    while True:
        try:
            path.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            if path.exists():  # a file
                raise
        else:
            break  # in the other case, another process removed it in the meantime
    for made in missing:
        sync(made.parent)


def rename(source: Path, target: Path) -> None:
    """Rename a file or folder whose content is flushed; the new name is on the disk afterwards."""
    source.rename(target)
    sync(target.parent)
    if source.parent != target.parent:
        sync(source.parent)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to ``path``, and rename it to ``path`` when the block succeeds.

    An interruption at any time leaves either the complete old or the complete new file. The
    temporary name keeps the suffix, from which image libraries derive the format.

    Raises:
        DgunetError: if the file cannot be written; see `writing`.
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
    """Give a file that only its owner can read the default permissions of new files.

    safetensors creates such files, whose weights other users' containers could not read.
    """
    if path.stat().st_mode & 0o077:
        return
    plain = path.with_name(leftovers.partial_name("rights"))
    plain.touch()
    path.chmod(plain.stat().st_mode & 0o777)
    plain.unlink()


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder, which replaces ``path`` when the block succeeds.

    On Linux the replacement is one step, so that either the old or the new folder exists at any
    time.

    Raises:
        DgunetError: if the folder cannot be written; see `writing`.
    """
    with partial_folder(path) as temporary:
        yield temporary
        sync_tree(temporary)
        if not path.exists() and not path.is_symlink():
            rename(temporary, path)
        elif _exchange(temporary, path):
            sync(path.parent)  # the old folder has the temporary name now
        else:
            old = path.with_name(leftovers.partial_name(path.name, "old"))
            path.rename(old)
            rename(temporary, path)
            leftovers.remove(old)


@contextmanager
def partial_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder next to ``path`` in which to build it; remove that folder afterwards.

    Leftovers of dead processes next to ``path`` are removed first.
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
    """Remove leftovers of dead processes from ``folder``, at most once unless ``every_time``."""
    if every_time or folder not in _tidied:
        _tidied.add(folder)
        leftovers.remove_dead(folder)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two names in one step; return False if the system or file system cannot."""
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
    """Write ``content`` to ``path`` atomically as UTF-8 with Unix line endings."""
    write_bytes(path, content.encode())


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` to ``path`` atomically as indented JSON; keys keep their order."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def sha256_bytes(content: bytes) -> str:
    """Return the hexadecimal SHA-256 of ``content``."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of the file at ``path``, which is read in chunks."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sha256_source(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a source file after conversion to Unix line endings."""
    return sha256_bytes(path.read_bytes().replace(b"\r\n", b"\n"))


def sha256_json(content: Any) -> str:
    """Return the hexadecimal SHA-256 of ``content`` as canonical JSON (sorted keys, no spaces)."""
    return sha256_bytes(json.dumps(content, sort_keys=True, separators=(",", ":")).encode())


def tree_digest(
    folder: Path,
    pattern: str = "*",
    *,
    digest: Callable[[Path], str] = sha256_file,
    keep: Callable[[Path], bool] = lambda path: True,
) -> str:
    """Return the SHA-256 of the sorted lines ``<sha256>  <relative path>`` of a folder's files.

    Args:
        folder: the folder.
        pattern: glob pattern of the files, at any depth.
        digest: computes the digest of a file.
        keep: selects files by their path.
    """
    files = sorted(p for p in folder.rglob(pattern) if p.is_file() and keep(p))
    lines = [f"{digest(p)}  {p.relative_to(folder).as_posix()}\n" for p in files]
    return sha256_bytes("".join(lines).encode())
