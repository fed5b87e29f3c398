"""Files that programs leave in folders of images beside the images."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

_LEFT_BEHIND = frozenset({"__MACOSX", "Thumbs.db", "ehthumbs.db", "desktop.ini"})


def is_hidden(path: Path, folder: Path) -> bool:
    """Whether ``path``, or a folder on the way to it from ``folder``, is hidden or left behind.

    Notebooks keep copies in ``.ipynb_checkpoints``, macOS writes ``._1.png`` and ``.DS_Store``.
    """
    return has_hidden_part(path.relative_to(folder).as_posix())


def has_hidden_part(path: str) -> bool:
    """As `is_hidden`, for a relative path."""
    return any(is_hidden_name(part) for part in PurePosixPath(path).parts)


def is_hidden_name(name: str) -> bool:
    """Whether a file or folder called ``name`` is hidden or left behind by a program."""
    return name.startswith(".") or name in _LEFT_BEHIND


def left_out(folder: Path, count: int, hidden: int) -> str:
    """One line on files of ``folder`` that were not taken: how many, and how many are hidden."""
    return f"{folder}: {count} files left out ({hidden} hidden, {count - hidden} no images)"
