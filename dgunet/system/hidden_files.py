"""Detection of hidden and system files in folders of images."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

_SYSTEM_FILES = frozenset({"__MACOSX", "Thumbs.db", "ehthumbs.db", "desktop.ini"})


def is_hidden(path: Path, folder: Path) -> bool:
    """Return whether ``path``, or a folder between it and ``folder``, is hidden or a system file.

    Notebooks store copies in ``.ipynb_checkpoints``; macOS writes ``._1.png`` and ``.DS_Store``.
    """
    return has_hidden_part(path.relative_to(folder).as_posix())


def has_hidden_part(path: str) -> bool:
    """Return whether a part of a relative path is hidden or a system file."""
    return any(is_hidden_name(part) for part in PurePosixPath(path).parts)


def is_hidden_name(name: str) -> bool:
    """Return whether a file or folder called ``name`` is hidden or a system file."""
    return name.startswith(".") or name in _SYSTEM_FILES


def left_out(folder: Path, count: int, hidden: int) -> str:
    """Return a line with the number of ignored files in ``folder`` and how many are hidden."""
    return f"{folder}: {count} files ignored ({hidden} hidden, {count - hidden} not images)"
