"""Detection of hidden and system files in folders of images."""

from __future__ import annotations

from pathlib import Path

_SYSTEM_FILES = frozenset({"__MACOSX", "Thumbs.db", "ehthumbs.db", "desktop.ini"})


def is_hidden(path: Path, folder: Path) -> bool:
    """Whether ``path``, or a folder between it and ``folder``, is hidden or a system file.

    Notebooks keep copies in ``.ipynb_checkpoints``; macOS writes ``._1.png`` and ``.DS_Store``.
    """
    parts = path.relative_to(folder).parts
    return any(part.startswith(".") or part in _SYSTEM_FILES for part in parts)


def left_out(folder: Path, count: int, hidden: int) -> str:
    """Return a line on the files of ``folder`` that were ignored: how many, and how many hidden."""
    return f"{folder}: {count} files ignored ({hidden} hidden, {count - hidden} not images)"
