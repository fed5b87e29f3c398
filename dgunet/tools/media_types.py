"""The media type of a file by the suffix of its name, for the descriptions of bundles and sets."""

from __future__ import annotations

from pathlib import PurePosixPath

_TYPES = {  # as data: those of the module `mimetypes` depend on the version of Python
    ".arrow": "application/vnd.apache.arrow.file",
    ".csv": "text/csv",
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".lock": "application/yaml",
    ".mat": "application/x-matlab-data",
    ".md": "text/markdown",
    ".parquet": "application/vnd.apache.parquet",
    ".png": "image/png",
    ".py": "text/x-python",
    ".safetensors": "application/octet-stream",
    ".tex": "application/x-tex",
    ".tif": "image/tiff",
    ".txt": "text/plain",
    ".yaml": "application/yaml",
}


def media_type(name: str, *, unknown: str = "application/octet-stream") -> str:
    """The media type of the file ``name``; ``unknown`` if its suffix is not known."""
    return _TYPES.get(PurePosixPath(name).suffix.lower(), unknown)
