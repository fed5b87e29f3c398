"""Files that are whole or absent: atomic writes, digests, and errors that name the path."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dgunet.errors import DgunetError

_MENDS = {
    errno.ENOSPC: ("the disk is full", "Free some space and run the same command again."),
    errno.EDQUOT: ("the disk quota is used up", "Free some space and run the same command again."),
    errno.EACCES: ("permission denied", "Choose a folder that you may write to."),
    errno.EPERM: ("operation not permitted", "Choose a folder that you may write to."),
    errno.EROFS: ("the file system is read-only", "Choose a folder that you may write to."),
}


def refused(error: BaseException) -> bool:
    """Whether the operating system refused to write: `writing` has words for it."""
    return isinstance(error, OSError) and error.errno in _MENDS


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals while writing ``path`` into one clear line.

    Raises:
        DgunetError: for a full disk, a quota, a read-only or forbidden folder.
    """
    try:
        yield
    except OSError as error:
        known = _MENDS.get(error.errno or 0)
        if known is None:
            raise
        raise DgunetError(f"cannot write {path}: {known[0]}.", known[1]) from error


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it into place when the block succeeds.

    An interruption at any moment leaves either the old file or the new one, never a part.
    The temporary name keeps the suffix, because image libraries choose the format by it.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}.partial{path.suffix}")
        try:
            yield temporary
            _not_private(temporary)
            with temporary.open("rb") as handle:
                os.fsync(handle.fileno())
            temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def _not_private(path: Path) -> None:
    """Give a file that a library made for its owner only the rights of any new file beside it.

    safetensors does so, and another user's container could not read the weights.
    """
    if path.stat().st_mode & 0o077:
        return
    plain = path.with_name(f"{path.name}.rights")
    plain.touch()
    path.chmod(plain.stat().st_mode & 0o777)
    plain.unlink()


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give an empty temporary folder; it replaces ``path`` when the block succeeds."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
        temporary.mkdir()
        try:
            yield temporary
            if path.exists():
                old = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.old")
                path.rename(old)
                temporary.rename(path)
                shutil.rmtree(old, ignore_errors=True)
            else:
                temporary.rename(path)
        finally:
            if temporary.exists():
                shutil.rmtree(temporary, ignore_errors=True)


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


def sha256_json(content: Any) -> str:
    """Hexadecimal SHA-256 of ``content`` as canonical JSON (sorted keys, no spaces)."""
    return sha256_bytes(json.dumps(content, sort_keys=True, separators=(",", ":")).encode())


def tree_digest(folder: Path, pattern: str = "*") -> str:
    """SHA-256 over the sorted lines ``<sha256>  <relative path>`` of the files in ``folder``.

    ``pattern`` chooses files by name, at any depth.
    """
    files = sorted(p for p in folder.rglob(pattern) if p.is_file())
    lines = [f"{sha256_file(p)}  {p.relative_to(folder).as_posix()}\n" for p in files]
    return sha256_bytes("".join(lines).encode())
