"""Fetching a set: from the first of several mirrors that gives it whole and as expected."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from filelock import FileLock, Timeout

from dgunet.data.acquisition.downloading import Download, Progress, discard, kept
from dgunet.data.acquisition.importing import Imported, import_dataset
from dgunet.data.acquisition.remotes import RemoteError, shown, split_address
from dgunet.data.acquisition.unpacking import is_archive
from dgunet.data.catalogue.entries import DatasetInfo, dataset
from dgunet.data.readers.folder_layouts import find_present
from dgunet.system import files
from dgunet.system.errors import DataError
from dgunet.system.reading import shorten

SCHEMES = ("http", "https", "s3", "file")


@dataclass(frozen=True)
class Fetched:
    """What a fetch did: the import, where it came from, and why it may be trusted."""

    imported: Imported
    source: str
    sha256: str
    verified: str

    def lines(self) -> list[str]:
        """For the command line."""
        trust = self.verified or (
            "not verified: the catalogue knows no digest of this set; next time give --sha256"
        )
        archive = [f"archive {self.sha256}"] if self.sha256 else []
        doubts = [remark for remark in self.imported.remarks() if "warning" in remark]
        return [self.imported.line(), *doubts, f"from {self.source}", *archive, trust]


def fetch_dataset(
    name: str,
    sources: Sequence[str],
    root: Path,
    downloads: Path,
    *,
    sha256: str = "",
    observe: Progress = lambda here, total: None,
    refused: Callable[[str], None] = lambda line: None,
) -> Fetched:
    """Bring set ``name`` from the first of ``sources`` that gives it, and lay it out.

    What was downloaded stays in ``downloads`` until the set lies whole under ``root``, so that the
    next run goes on where this one stopped. The set appears under its final name only when it is
    verified: by ``sha256`` of the archive, or else by the digests the catalogue knows.

    Args:
        name: a catalogue key.
        sources: addresses of the same archive (http, https, s3, file), or paths of it.
        root: the folder of the official trees, e.g. ``data/paper``.
        downloads: folder for the archive while it comes.
        sha256: of the archive, hexadecimal; "" if it is not known.
        observe: called with (bytes that are here, bytes in all or None).
        refused: called with a line for each source that fails before another is tried.

    Raises:
        DataError: for an unknown set, a bad address or digest, a set that is there already, a
            second fetch of it at the same time, or if no source gives it.
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
                return _from(info, source, root, downloads / f"{name}.archive", sha256, observe)
            except RemoteError as error:
                reasons.append(f"{shown(source)}: {error}".removesuffix("."))
                refused(reasons[-1])
    raise DataError(
        f"{name} could not be fetched. {'; '.join(reasons)}.",
        f"Run the same command again to go on (what came is kept in {downloads}), or name another"
        " mirror.",
    )


@contextmanager
def only_one(name: str, downloads: Path) -> Iterator[None]:
    """Keep other processes from fetching the same set to the same place.

    Raises:
        DataError: if another one does.
    """
    with files.writing(downloads):
        files.make_folder(downloads)
        lock = FileLock(downloads / f".{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise DataError(
            f"{name} is being fetched by another process (into {downloads}).",
            "Wait for it to end.",
        ) from error
    with lock:
        yield


def _from(
    info: DatasetInfo, source: str, root: Path, archive: Path, sha256: str, observe: Progress
) -> Fetched:
    local = local_path(source)
    if local is not None:
        digest = _digest_of(local, sha256)
        imported, verified = bring_in(info, local, root, sha256)
        return Fetched(imported, str(local), digest, verified)
    digest = kept(source, archive, sha256) or Download(source, archive, sha256, observe).run()
    try:
        if not is_archive(archive):
            raise RemoteError("what it sends is neither a zip nor a tar archive")
        imported, verified = bring_in(info, archive, root, sha256)
    except RemoteError:
        discard(archive)
        raise
    discard(archive)
    return Fetched(imported, shown(source), digest, verified)


def bring_in(info: DatasetInfo, source: Path, root: Path, sha256: str) -> tuple[Imported, str]:
    """Import beside ``root``'s sets, verify, and only then let it appear among them.

    When this returns the set is on the disk under its final name, power failures included, so that
    what it was made of may be removed.
    """
    with files.writing(root), files.partial_folder(root / "fetch") as work:
        try:
            imported = import_dataset(info.name, source, work)
            verified = "verified by its SHA-256" if sha256 else _verified(info, imported)
        except DataError as error:
            if sha256:  # it is what was asked for, wherever it came from
                raise
            raise RemoteError(str(error)) from error
        target = root / imported.folder.relative_to(work)
        files.make_folder(target.parent)
        if target.exists():
            raise DataError(f"{target} is there already.", "Move the old set away first.")
        files.rename(imported.folder, target)
    return Imported(**{**vars(imported), "folder": target}), verified


def _verified(info: DatasetInfo, imported: Imported) -> str:
    """Why a set may be trusted by its pixels; "" if the catalogue knows none of its releases.

    Raises:
        DataError: if its pixels are of none of the known releases.
    """
    if imported.release:
        return f"verified by its pixels: {imported.release}"
    if not info.known:
        return ""
    raise DataError(
        f"its pixels (digest {imported.digest}) are not those of a known release of {info.name}.",
        "If this is the archive you mean, say so with --sha256.",
    )


def local_path(source: str) -> Path | None:
    """The path that ``source`` means, None for an address elsewhere.

    Raises:
        DataError: for an address of another kind.
    """
    if "://" not in source:
        try:
            return Path(source).expanduser()
        except RuntimeError as error:  # ~somebody
            raise DataError(f"{shorten(source)} is no path ({error}).", "Write it out.") from error
    parts = split_address(source)
    if parts.scheme not in SCHEMES or (parts.scheme == "s3" and not parts.path.strip("/")):
        raise DataError(
            f"{shown(source)} cannot be fetched.",
            "Give http(s)://..., s3://BUCKET/KEY, file://... or a path.",
        )
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def _digest_of(path: Path, sha256: str) -> str:
    if not path.exists():
        raise RemoteError("it does not exist")
    if path.is_dir():
        if sha256:
            raise RemoteError("a folder has no SHA-256; name the archive")
        return ""
    if not path.is_file():
        raise RemoteError("it is not a regular file")
    digest = files.sha256_file(path)
    if sha256 not in ("", digest):
        raise RemoteError(f"its SHA-256 is {digest}, not {sha256}")
    return digest


def checked_digest(sha256: str) -> str:
    """``sha256`` as files are compared with it; "" stays "".

    Raises:
        DataError: if it is no SHA-256.
    """
    digest = sha256.strip().lower().removeprefix("sha256:")
    if digest and not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise DataError(f"--sha256 is {sha256!r}.", "A SHA-256 has 64 hexadecimal digits.")
    return digest


def check_absent(info: DatasetInfo, root: Path) -> None:
    """Refuse, before anything is fetched, a set that lies under ``root`` already.

    Raises:
        DataError: names the folder.
    """
    if (folder := find_present(info, root)) is not None:
        raise DataError(f"{folder} is there already.", "Move the old set away first.")
