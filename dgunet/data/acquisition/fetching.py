"""Fetching of a dataset from the first of several mirrors that provides a valid archive."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from filelock import FileLock, Timeout

from dgunet.data.acquisition.downloading import (
    Download,
    Progress,
    discard_download,
    downloaded_digest,
)
from dgunet.data.acquisition.importing import ImportResult, import_dataset
from dgunet.data.acquisition.remotes import RemoteError, split_address
from dgunet.data.acquisition.unpacking import is_archive
from dgunet.data.catalogue.entries import DatasetInfo, dataset
from dgunet.data.readers.folder_layouts import find_present
from dgunet.system import files
from dgunet.system.address import redact
from dgunet.system.errors import DataError
from dgunet.system.reading import shorten

SCHEMES = ("http", "https", "s3", "file")


@dataclass(frozen=True)
class FetchResult:
    """Result of a fetch.

    Attributes:
        imported: result of the import.
        source: address or path of the archive.
        sha256: digest of the archive, "" for a folder or single files.
        verified: how the dataset was verified, "" if it was not.
    """

    imported: ImportResult
    source: str
    sha256: str
    verified: str

    def lines(self) -> list[str]:
        """Lines for the command line."""
        verification = self.verified or (
            "not verified: the catalogue has no digest of this dataset; give --sha256 next time"
        )
        archive = [f"archive {self.sha256}"] if self.sha256 else []
        doubts = [remark for remark in self.imported.remarks() if "warning" in remark]
        return [self.imported.line(), *doubts, f"from {self.source}", *archive, verification]


def fetch_dataset(
    name: str,
    sources: Sequence[str],
    root: Path,
    downloads: Path,
    *,
    sha256: str = "",
    observe: Progress = lambda received, total: None,
    refused: Callable[[str], None] = lambda line: None,
) -> FetchResult:
    """Fetch dataset ``name`` from the first valid source and import it.

    A download stays in ``downloads`` until the dataset is complete under ``root``, so that the next
    run continues where this one stopped. The dataset appears under its final name only when it has
    been verified by ``sha256`` of the archive or else by the digests of the catalogue.

    Args:
        name: a catalogue name.
        sources: addresses of the same archive (http, https, s3, file), or its paths.
        root: the folder of the official trees, e.g. ``data/paper``.
        downloads: folder for the archive during the download.
        sha256: hexadecimal SHA-256 of the archive; "" if it is unknown.
        observe: called with (bytes received, total bytes or None).
        refused: called with one line for each source that fails.

    Raises:
        DataError: for an unknown dataset, an invalid address or digest, a dataset that already
            exists, a concurrent fetch of it, or if no source provides it.
        DgunetError: if the disk is too small, full or not writable.
    """
    info = dataset(name)
    sha256 = checked_digest(sha256)
    check_absent(info, root)
    for source in sources:
        local_path(source)
    reasons = []
    with only_one(name, downloads):
        for source in sources:
            try:
                return _fetch_one(
                    info, source, root, downloads / f"{name}.archive", sha256, observe
                )
            except RemoteError as error:
                reasons.append(f"{redact(source)}: {error}".removesuffix("."))
                refused(reasons[-1])
    raise DataError(
        f"{name} could not be fetched. {'; '.join(reasons)}.",
        f"Run the same command again to continue (downloads are kept in {downloads}), or give"
        " another mirror.",
    )


@contextmanager
def only_one(name: str, downloads: Path) -> Iterator[None]:
    """Hold the lock for fetching dataset ``name`` into ``downloads``.

    Raises:
        DataError: if another process holds it.
    """
    with files.writing(downloads):
        files.make_folder(downloads)
        lock = FileLock(downloads / f".{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise DataError(
            f"{name} is being fetched by another process (into {downloads}).",
            "Wait until it has finished.",
        ) from error
    with lock:
        yield


def _fetch_one(
    info: DatasetInfo, source: str, root: Path, archive: Path, sha256: str, observe: Progress
) -> FetchResult:
    local = local_path(source)
    if local is not None:
        digest = _local_digest(local, sha256)
        imported, verified = import_verified(info, local, root, sha256)
        return FetchResult(imported, str(local), digest, verified)
    digest = downloaded_digest(source, archive, sha256)
    digest = digest or Download(source, archive, sha256, observe).run()
    try:
        if not is_archive(archive):
            raise RemoteError("the file is neither a zip nor a tar archive")
        imported, verified = import_verified(info, archive, root, sha256)
    except RemoteError:
        discard_download(archive)
        raise
    discard_download(archive)
    return FetchResult(imported, redact(source), digest, verified)


def import_verified(
    info: DatasetInfo, source: Path, root: Path, sha256: str
) -> tuple[ImportResult, str]:
    """Import a dataset into a hidden folder, verify it, and move it to its final name in ``root``.

    On return the dataset is synced to disk under its final name; the archive may be removed.

    Raises:
        RemoteError: if the source is not the dataset and ``sha256`` is "".
        DataError: if it is not the dataset although its ``sha256`` matches, or already exists.
    """
    with files.writing(root), files.partial_folder(root / "fetch") as work:
        try:
            imported = import_dataset(info.name, source, work)
            verified = "verified by its SHA-256" if sha256 else _verified(info, imported)
        except DataError as error:
            if sha256:  # the requested archive; another mirror would not differ
                raise
            raise RemoteError(str(error)) from error
        target = root / imported.folder.relative_to(work)
        files.make_folder(target.parent)
        if target.exists():
            raise DataError(f"{target} already exists.", "Move it away first.")
        files.rename(imported.folder, target)
    return ImportResult(**{**vars(imported), "folder": target}), verified


def _verified(info: DatasetInfo, imported: ImportResult) -> str:
    """How a dataset is verified by its pixels; "" if the catalogue has no digest of it.

    Raises:
        DataError: if the pixels are not those of a known release.
    """
    if imported.release:
        return f"verified by its pixels: {imported.release}"
    if not info.known:
        return ""
    raise DataError(
        f"its pixels (digest {imported.digest}) do not match a known release of {info.name}.",
        "If this is the intended archive, confirm it with --sha256.",
    )


def local_path(source: str) -> Path | None:
    """Local path of ``source``, None for a remote address.

    Raises:
        DataError: for an invalid or unsupported address.
    """
    if "://" not in source:
        try:
            return Path(source).expanduser()
        except RuntimeError as error:  # ~USER of an unknown user
            raise DataError(
                f"{shorten(source)} is not a valid path ({error}).", "Give the full path."
            ) from error
    parts = split_address(source)
    if parts.scheme not in SCHEMES or (parts.scheme == "s3" and not parts.path.strip("/")):
        raise DataError(
            f"{redact(source)} cannot be fetched.",
            "Give http(s)://..., s3://BUCKET/KEY, file://... or a path.",
        )
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def _local_digest(path: Path, sha256: str) -> str:
    if not path.exists():
        raise RemoteError("it does not exist")
    if path.is_dir():
        if sha256:
            raise RemoteError("a folder has no SHA-256; give the archive")
        return ""
    if not path.is_file():
        raise RemoteError("it is not a regular file")
    digest = files.sha256_file(path)
    if sha256 not in ("", digest):
        raise RemoteError(f"its SHA-256 is {digest}, not {sha256}")
    return digest


def checked_digest(sha256: str) -> str:
    """Normalise ``sha256`` to 64 lower-case hexadecimal digits; "" stays "".

    Raises:
        DataError: if it is not a SHA-256.
    """
    digest = sha256.strip().lower().removeprefix("sha256:")
    if digest and not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise DataError(f"--sha256 is {sha256!r}.", "A SHA-256 has 64 hexadecimal digits.")
    return digest


def check_absent(info: DatasetInfo, root: Path) -> None:
    """Refuse a dataset that exists under ``root``, before anything is fetched.

    Raises:
        DataError: naming the folder.
    """
    if (folder := find_present(info, root)) is not None:
        raise DataError(f"{folder} already exists.", "Move it away first.")
