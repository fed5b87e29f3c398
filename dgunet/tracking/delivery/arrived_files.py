"""Makes artifacts in a local MLflow store durable before the journal is removed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from dgunet.system import files

_UPLOADING = ".artifact.uploading."
"""Prefix of MLflow's name for a file that it is writing; a kill leaves the file behind."""


def settle_artifacts(uri: str) -> None:
    """Flush the artifacts at ``uri`` to the disk, and remove partial files that a kill left.

    MLflow writes artifacts without flushing them, and the journal's copies are removed afterwards.
    Does nothing if the artifacts are on a server or in a bucket.
    """
    folder = _local(uri)
    if folder is None or not folder.is_dir():
        return
    for path in folder.rglob(f"{_UPLOADING}*"):
        with suppress(OSError):
            path.unlink()
    files.sync_tree(folder)
    for above in (folder.parent, folder.parent.parent, folder.parent.parent.parent):
        files.sync(above)


def _local(uri: str) -> Path | None:
    parts = urlsplit(uri)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(url2pathname(parts.path))
    return Path(uri) if uri.startswith("/") else None
