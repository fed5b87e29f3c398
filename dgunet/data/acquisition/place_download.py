"""Download of what one place of ``sources.yaml`` has: an archive, a file, or single files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from dgunet.data.acquisition.downloading import (
    ChangedFileError,
    Download,
    Progress,
    discard_download,
    downloaded_digest,
)
from dgunet.data.acquisition.google_drive import DriveFile
from dgunet.data.acquisition.remotes import Opener, RemoteError
from dgunet.data.sources.entries import git_files
from dgunet.data.sources.places import (
    GitTree,
    GoogleDriveFile,
    HttpFiles,
    Services,
    SingleFile,
)
from dgunet.system import files
from dgunet.system.address import redact
from dgunet.system.safe_paths import inside


@dataclass(frozen=True)
class Received:
    """What was downloaded from a place.

    Attributes:
        path: the file, or the folder of single files.
        address: where it came from, without secrets.
        sha256: digest of the file; "" for single files.
        bytes: size of the file, or of all single files.
        digests: SHA-256 of each single file by its path.
        checked: which stated digest it has; "" if nobody states one.
    """

    path: Path
    address: str
    sha256: str
    bytes: int
    digests: dict[str, str] = field(default_factory=dict)
    checked: str = ""


def archive_path(place: SingleFile, downloads: Path) -> Path:
    """Return where the file of ``place`` is kept."""
    return downloads / f"{place.name}.archive"


def receive_file(
    place: SingleFile, services: Services, downloads: Path, observe: Progress
) -> Received:
    """Download the file of ``place``; an earlier or interrupted download is used.

    Raises:
        RemoteError: if the server does not send the file, or it has another size or digest than
            stated.
        DgunetError: if the disk is too small, full or not writable.
    """
    path = archive_path(place, downloads)
    if isinstance(place, GoogleDriveFile):
        drive = DriveFile(place.id, services["google-drive"])
        url, opener = drive.url, drive.open
    else:
        url, opener = place.url(services), None
    digest = downloaded_digest(url, path, place.sha256)
    if not digest:
        length = place.bytes if place.digests else None  # a size alone may be a rounded one
        digest = _download(place, url, path, observe, opener, length)
    checked = _check_other_digests(place, path)
    return Received(path, redact(url), digest, path.stat().st_size, checked=checked)


def _download(
    place: SingleFile,
    url: str,
    path: Path,
    observe: Progress,
    opener: Opener | None,
    length: int | None,
) -> str:
    try:
        return Download(url, path, place.sha256, observe, opener, length).run()
    except ChangedFileError as error:
        raise ChangedFileError(_changed(str(error), place)) from error


def _changed(what: str, place: SingleFile) -> str:
    return f"{what} as {place.digest_by} states: the file has changed, or is another one"


def _check_other_digests(place: SingleFile, path: Path) -> str:
    """Compare with the digests that are stated instead of a SHA-256; say which were compared.

    Raises:
        RemoteError: for another digest; the download is discarded then.
    """
    if not place.digests:
        return ""
    if not place.sha256:
        for algorithm, stated in place.digests.items():
            with path.open("rb") as handle:
                found = hashlib.file_digest(handle, algorithm).hexdigest()
            if found != stated:
                discard_download(path)
                named = algorithm.upper().replace("SHA1", "SHA-1")
                raise ChangedFileError(_changed(f"its {named} is {found}, not {stated}", place))
    names = {"sha256": "SHA-256", "sha1": "SHA-1", "md5": "MD5"}
    used = ["sha256"] if place.sha256 else list(place.digests)
    return f"{' and '.join(names[one] for one in used)} stated by {place.digest_by}"


def receive_files(
    place: GitTree | HttpFiles, services: Services, downloads: Path, folder: str, observe: Progress
) -> Received:
    """Download the single files of ``place`` into ``folder`` of a folder of their own.

    Files that an earlier run has completed are not requested again.

    Raises:
        RemoteError: if a file does not arrive, or has another digest than stated.
        DgunetError: if the disk is too small, full or not writable.
    """
    base = downloads / f"{place.name}.files"
    wanted = list(_single_files(place, services))
    done, digests = 0, {}
    with files.writing(downloads):
        files.make_folder(base / folder)
        for name, url, stated in wanted:
            target = inside(base / folder, name, origin=f"the list of {place.name}")

            def count(received: int, total: int | None, before: int = done) -> None:
                observe(before + received, place_bytes(place))

            digest = downloaded_digest(url, target, stated)
            try:
                digests[name] = digest or Download(url, target, stated, count).run()
            except RemoteError as error:
                raise RemoteError(f"{name}: {error}") from error
            done += target.stat().st_size
            observe(done, place_bytes(place))
    checked = f"the SHA-256 of every file ({place.digest_by})" if isinstance(place, GitTree) else ""
    return Received(base, place.page(services), "", done, digests, checked)


def place_bytes(place: SingleFile | GitTree | HttpFiles) -> int | None:
    """Return the size of what ``place`` has, in bytes; None if nobody states it."""
    if isinstance(place, GitTree):
        return sum(one.bytes for one in git_files(place))
    return place.bytes


def _single_files(place: GitTree | HttpFiles, services: Services) -> Iterator[tuple[str, str, str]]:
    """Yield path, address and stated SHA-256 of each file."""
    if isinstance(place, HttpFiles):
        for url in place.urls:
            yield unquote(urlsplit(url).path).rpartition("/")[2], url, ""
        return
    for one in git_files(place):
        folder, _, name = one.path.rpartition("/")
        tree = next(tree for tree in place.trees if tree.into == folder)
        yield one.path, tree.url(services, name), one.sha256
