"""What must hold of files in MLflow's store on this machine before a journal is let go."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from dgunet.system import files

_UPLOADING = ".artifact.uploading."
"""MLflow's name for a file that it is still writing; a kill leaves it behind."""


def settle_artifacts(uri: str) -> None:
    """Bring the artifacts at ``uri`` to the disk and remove what a kill left half written there.

    MLflow writes them without flushing, and they must outlive the journal's copies. Does nothing
    where they lie on a server or in a bucket.
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
