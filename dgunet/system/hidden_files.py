"""Files that programs leave in folders of images beside the images."""

from __future__ import annotations

from pathlib import Path

_LEFT_BEHIND = frozenset({"__MACOSX", "Thumbs.db", "ehthumbs.db", "desktop.ini"})


def is_hidden(path: Path, folder: Path) -> bool:
    """Whether ``path``, or a folder on the way to it from ``folder``, is hidden or left behind.

    Notebooks keep copies in ``.ipynb_checkpoints``, macOS writes ``._1.png`` and ``.DS_Store``.
    """
    parts = path.relative_to(folder).parts
    return any(part.startswith(".") or part in _LEFT_BEHIND for part in parts)


def left_out(folder: Path, count: int, hidden: int) -> str:
    """One line on files of ``folder`` that were not taken: how many, and how many are hidden."""
    return f"{folder}: {count} files left out ({hidden} hidden, {count - hidden} no images)"
