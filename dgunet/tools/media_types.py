"""The media type of a file by the suffix of its name, for the descriptions of bundles and sets."""

from __future__ import annotations

from mimetypes import MimeTypes

_TYPES = MimeTypes()  # an own table: the one of the module reads the files of the system
for _suffix, _media_type in {
    ".arrow": "application/vnd.apache.arrow.file",
    ".lock": "application/yaml",
    ".mat": "application/x-matlab-data",
    ".md": "text/markdown",
    ".parquet": "application/vnd.apache.parquet",
    ".safetensors": "application/octet-stream",
    ".yaml": "application/yaml",
}.items():
    _TYPES.add_type(_media_type, _suffix)


def media_type(name: str, *, unknown: str = "application/octet-stream") -> str:
    """The media type of the file ``name``; ``unknown`` if its suffix is not known."""
    found, _ = _TYPES.guess_type(name)
    return found or unknown
