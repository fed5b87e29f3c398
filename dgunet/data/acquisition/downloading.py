"""Resumable download of one file; the file appears only when it is complete.

During the download the bytes are in ``X.partial``; ``X.partial.json`` records their source, version
and total length.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from dgunet.data.acquisition.remotes import Opener, RemoteError, RemoteResponse, request
from dgunet.data.acquisition.web_pages import HEAD, is_web_page, page_reason
from dgunet.system import files
from dgunet.system.errors import DataError, DgunetError
from dgunet.system.reading import read_mapping

Progress = Callable[[int, int | None], None]
"""Called with (bytes received, total bytes or None)."""

RESTARTS = 3
"""Attempts for a file that changes while it is being downloaded."""


class ChangedFileError(RemoteError):
    """A mirror has another file than the one that is wanted."""


class Download:
    """A download of the file at ``url`` to ``path``.

    Args:
        url: an http, https or s3 address.
        path: where the file appears when it is complete.
        sha256: SHA-256 of the file, "" if it is unknown. If it is known, a partial file from
            another mirror may be continued, because the digest verifies the result; otherwise only
            one of the same version from the same address.
        observe: called as bytes arrive.
        opener: requests the file, where that takes more than opening ``url``, which then only
            identifies it.
        length: size of the file in bytes; a file of another size is not downloaded. None if it is
            unknown.
    """

    def __init__(
        self,
        url: str,
        path: Path,
        sha256: str,
        observe: Progress,
        opener: Opener | None = None,
        length: int | None = None,
    ) -> None:
        self._url, self._path, self._sha256, self._observe = url, path, sha256, observe
        self._open, self._length = opener or partial(request, url), length
        self._source = files.sha256_bytes(url.encode(errors="surrogateescape"))
        self._partial = path.with_name(f"{path.name}.partial")
        self._note = path.with_name(f"{path.name}.partial.json")

    def run(self) -> str:
        """Download the file and return its SHA-256.

        A broken connection is re-established as long as every attempt makes progress.

        Raises:
            RemoteError: if this mirror does not send the whole file, or sends a different one.
            DgunetError: if the disk is too small, full or not writable.
        """
        with files.writing(self._path):
            files.make_folder(self._path.parent)
            for _ in range(RESTARTS):
                continued = self._received() > 0
                if not self._complete():
                    continue
                digest = files.sha256_file(self._partial)
                if self._sha256 in ("", digest):
                    self._finish(digest)
                    return digest
                self._discard()
                if not continued:
                    raise ChangedFileError(f"its SHA-256 is {digest}, not {self._sha256}")
            raise RemoteError("the file changes while it is being downloaded")

    def _complete(self) -> bool:
        """Receive the rest of the file; return False if the download must start again."""
        furthest = 0
        while True:
            start, tag = self._resume_point()
            if start and start == self._noted().get("length"):
                return True
            reason, length = "the connection ended early", None
            try:
                with self._open(start, tag) as response:
                    length = response.length
                    if not self._append(response, start, tag):
                        return False
                if length is None or self._received() == length:
                    return True
            except ChangedFileError:
                raise
            except RemoteError as error:
                reason = str(error)
            if self._received() <= furthest:
                raise RemoteError(reason)
            furthest = self._received()

    def _append(self, response: RemoteResponse, start: int, tag: str) -> bool:
        """Append the response; False if its version differs and the partial file is discarded."""
        if response.start != start and response.start != 0:
            raise RemoteError(
                f"byte {start:,} was requested, but the server sent byte {response.start:,}"
            )
        chunks = _without_page(response)
        if self._length is not None and response.length not in (None, self._length):
            raise ChangedFileError(f"it has {response.length:,} bytes, not {self._length:,}")
        if start and response.start == start:
            noted = self._noted()
            if noted.get("length") != response.length or (tag and response.tag not in ("", tag)):
                self._discard()
                return False
            if noted.get("source") != self._source:
                # Bytes of two mirrors: only the digest of the whole file verifies them.
                self._write_note("", "", response.length)
        else:
            self._discard()
            self._write_note(self._source, response.tag, response.length)
        self._check_disk((response.length or 0) - response.start)
        received = response.start
        with self._partial.open("ab") as handle:
            for chunk in chunks:
                handle.write(chunk)
                received += len(chunk)
                self._observe(received, response.length)
        if response.length is not None and received > response.length:
            self._discard()
            raise RemoteError(
                f"the server sent more than the {response.length:,} bytes it announced"
            )
        return True

    def _resume_point(self) -> tuple[int, str]:
        """Byte to continue from, and version tag; (0, "") if continuing is not safe."""
        noted, received = self._noted(), self._received()
        length = noted.get("length")
        if length is None or received > length:
            return 0, ""
        if noted["source"] == self._source and noted["tag"]:
            return received, noted["tag"]
        return (received, "") if self._sha256 else (0, "")

    def _noted(self) -> dict[str, Any]:
        """Content of the note of an earlier run; empty if it is missing or damaged."""
        note = _read_note(self._note, source=str, tag=str, length=int | None)
        return note if (note.get("length") or 0) >= 0 else {}

    def _write_note(self, source: str, tag: str, length: int | None) -> None:
        files.write_json(self._note, {"source": source, "tag": tag, "length": length})

    def _received(self) -> int:
        return self._partial.stat().st_size if self._partial.exists() else 0

    def _check_disk(self, need: int) -> None:
        free = shutil.disk_usage(self._path.parent).free
        if need > free:
            raise DgunetError(
                f"{self._path} needs {need / 1e9:.1f} GB more and the disk has"
                f" {free / 1e9:.1f} GB free.",
                "Free some space and run the same command again, or choose another --downloads.",
            )

    def _discard(self) -> None:
        self._partial.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def _finish(self, digest: str) -> None:
        files.sync(self._partial)
        files.write_json(_completed_note(self._path), {"source": self._source, "sha256": digest})
        self._partial.replace(self._path)
        files.sync(self._path.parent)
        self._note.unlink(missing_ok=True)


def _without_page(response: RemoteResponse) -> Iterator[bytes]:
    """Chunks of ``response``, unless the server sends a web page in the place of the file.

    Raises:
        RemoteError: for a web page; nothing of an earlier download has been touched then.
    """
    if response.start:
        return response.chunks
    head = b""
    for chunk in response.chunks:
        head += chunk
        if len(head) >= len(b"<!doctype html") or not head.lstrip().startswith(b"<"):
            break
    if is_web_page(head):
        for chunk in response.chunks:
            if len(head) > HEAD:
                break
            head += chunk
        raise RemoteError(page_reason(head, response.address))
    return chain([head], response.chunks)


def downloaded_digest(url: str, path: Path, sha256: str) -> str:
    """SHA-256 of a file that an earlier run downloaded to ``path``; "" if it is not accepted.

    The file is accepted if it has the digest ``sha256`` or, if that is "", if it came from ``url``
    and has not changed since.
    """
    note = _read_note(_completed_note(path), source=str, sha256=str)
    if not note or not path.is_file():
        return ""
    expected = sha256 or note["sha256"]
    source = files.sha256_bytes(url.encode(errors="surrogateescape"))
    accepted = sha256 or note["source"] == source
    return expected if accepted and files.sha256_file(path) == expected else ""


def discard_download(path: Path) -> None:
    """Remove a downloaded file and its note."""
    path.unlink(missing_ok=True)
    _completed_note(path).unlink(missing_ok=True)


def _read_note(path: Path, **kinds: Any) -> dict[str, Any]:
    """JSON object in ``path`` if it has these keys with these types, otherwise an empty one."""
    try:
        content = read_mapping(path)
    except (FileNotFoundError, DataError):
        return {}
    fits = all(
        key in content and isinstance(content[key], kind) and not isinstance(content[key], bool)
        for key, kind in kinds.items()
    )
    return content if fits else {}


def _completed_note(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")
