"""One file from a remote to the disk: it goes on where it stopped, and is whole or absent.

While it comes, the bytes are in ``X.partial``; ``X.partial.json`` says what they are the start of.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dgunet.data.acquisition.remotes import Answer, RemoteError, ask
from dgunet.system import files
from dgunet.system.errors import DataError, DgunetError
from dgunet.system.reading import read_mapping

Progress = Callable[[int, int | None], None]
"""Called with (bytes that are here, bytes in all or None)."""

RESTARTS = 3
"""A file that changes this often while it is read is given up."""


class Download:
    """The file at ``url`` on its way to ``place``.

    Args:
        url: http, https or s3.
        place: where the file appears when it is whole.
        sha256: the file's, if it is known. Then what another mirror began is taken over, because
            the digest will tell; otherwise only the same version from the same address is.
        observe: called as bytes come.
    """

    def __init__(self, url: str, place: Path, sha256: str, observe: Progress) -> None:
        self._url, self._place, self._sha256, self._observe = url, place, sha256, observe
        self._source = files.sha256_bytes(url.encode(errors="surrogateescape"))
        self._partial = place.with_name(f"{place.name}.partial")
        self._note = place.with_name(f"{place.name}.partial.json")

    def run(self) -> str:
        """Bring the file and give its SHA-256.

        A broken connection is taken up again as long as each attempt comes further.

        Raises:
            RemoteError: if this mirror does not give the whole file, or another one.
            DgunetError: if the disk is too small, full or not writable.
        """
        with files.writing(self._place):
            files.make_folder(self._place.parent)
            for _ in range(RESTARTS):
                taken_over = self._here() > 0
                if not self._complete():
                    continue
                digest = files.sha256_file(self._partial)
                if self._sha256 in ("", digest):
                    self._finish(digest)
                    return digest
                self._discard()
                if not taken_over:
                    raise RemoteError(f"its SHA-256 is {digest}, not {self._sha256}")
            raise RemoteError("it changes while it is read")

    def _complete(self) -> bool:
        """Read until the file is whole; False if it has to be begun again."""
        furthest = 0
        while True:
            start, tag = self._resume()
            if start and start == self._known().get("length"):
                return True
            reason, length = "the connection ends early", None
            try:
                with ask(self._url, start, tag) as answer:
                    length = answer.length
                    if not self._take(answer, start, tag):
                        return False
                if length is None or self._here() == length:
                    return True
            except RemoteError as error:
                reason = str(error)
            if self._here() <= furthest:
                raise RemoteError(reason)
            furthest = self._here()

    def _take(self, answer: Answer, start: int, tag: str) -> bool:
        """Write what comes; False, and nothing is kept, if it does not continue what is here."""
        if answer.start != start and answer.start != 0:
            raise RemoteError(f"byte {start:,} was asked for, byte {answer.start:,} came")
        if start and answer.start == start:
            known = self._known()
            if known.get("length") != answer.length or (tag and answer.tag not in ("", tag)):
                self._discard()
                return False
            if known.get("source") != self._source:
                self._write_note("", "", answer.length)  # of two mirrors: only a digest can tell
        else:
            self._discard()
            self._write_note(self._source, answer.tag, answer.length)
        self._check_disk((answer.length or 0) - answer.start)
        here = answer.start
        with self._partial.open("ab") as handle:
            for chunk in answer.chunks:
                handle.write(chunk)
                here += len(chunk)
                self._observe(here, answer.length)
        if answer.length is not None and here > answer.length:
            self._discard()
            raise RemoteError(f"more than the {answer.length:,} bytes announced came")
        return True

    def _resume(self) -> tuple[int, str]:
        """From which byte to go on, and of which version; begins again if that is not safe."""
        known, here = self._known(), self._here()
        length = known.get("length")
        if length is None or here > length:
            return 0, ""
        if known["source"] == self._source and known["tag"]:
            return here, known["tag"]
        return (here, "") if self._sha256 else (0, "")

    def _known(self) -> dict[str, Any]:
        """What the note of an earlier run says; a damaged one says nothing."""
        known = _noted(self._note, source=str, tag=str, length=int | None)
        return known if (known.get("length") or 0) >= 0 else {}

    def _write_note(self, source: str, tag: str, length: int | None) -> None:
        files.write_json(self._note, {"source": source, "tag": tag, "length": length})

    def _here(self) -> int:
        return self._partial.stat().st_size if self._partial.exists() else 0

    def _check_disk(self, need: int) -> None:
        free = shutil.disk_usage(self._place.parent).free
        if need > free:
            raise DgunetError(
                f"{self._place} needs {need / 1e9:.1f} GB more and the disk has"
                f" {free / 1e9:.1f} GB free.",
                "Free some space and run the same command again, or choose another --downloads.",
            )

    def _discard(self) -> None:
        self._partial.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def _finish(self, digest: str) -> None:
        files.sync(self._partial)
        files.write_json(_facts(self._place), {"source": self._source, "sha256": digest})
        self._partial.replace(self._place)
        files.sync(self._place.parent)
        self._note.unlink(missing_ok=True)


def kept(url: str, place: Path, sha256: str) -> str:
    """The SHA-256 of the file that an earlier run brought to ``place``; "" if it is not this one.

    It is this one if it has ``sha256``, or, without that, if it came from ``url`` and has not
    changed since.
    """
    facts = _noted(_facts(place), source=str, sha256=str)
    if not facts or not place.is_file():
        return ""
    wanted = sha256 or facts["sha256"]
    ours = sha256 or facts["source"] == files.sha256_bytes(url.encode(errors="surrogateescape"))
    return wanted if ours and files.sha256_file(place) == wanted else ""


def discard(place: Path) -> None:
    """Remove a whole file that turned out not to be what was wanted."""
    place.unlink(missing_ok=True)
    _facts(place).unlink(missing_ok=True)


def _noted(path: Path, **kinds: Any) -> dict[str, Any]:
    """The JSON object in ``path`` if it has these keys with these types; else an empty one."""
    try:
        content = read_mapping(path)
    except (FileNotFoundError, DataError):
        return {}
    fits = all(
        key in content and isinstance(content[key], kind) and not isinstance(content[key], bool)
        for key, kind in kinds.items()
    )
    return content if fits else {}


def _facts(place: Path) -> Path:
    return place.with_name(f"{place.name}.json")
