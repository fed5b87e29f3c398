"""Fetching of a dataset that is published as single files, such as SIDD's two MATLAB files."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urldefrag

from dgunet.data.acquisition.downloading import Download, Progress, downloaded_digest
from dgunet.data.acquisition.fetching import (
    FetchResult,
    check_absent,
    checked_digest,
    import_verified,
    local_path,
    only_one,
)
from dgunet.data.acquisition.remotes import RemoteError, split_address
from dgunet.data.acquisition.unpacking import DATASET_SUFFIXES
from dgunet.data.catalogue.entries import dataset
from dgunet.system import files
from dgunet.system.address import redact
from dgunet.system.errors import DataError
from dgunet.system.safe_paths import safe_file_name


def fetch_files(
    name: str,
    sources: Sequence[str],
    root: Path,
    downloads: Path,
    *,
    observe: Progress = lambda here, total: None,
) -> FetchResult:
    """Fetch dataset ``name`` from one address (http, https, s3, file) or path per file.

    An address may end in ``#sha256=<digest>``; a file with another digest is refused. Complete
    files stay in ``downloads`` until the dataset is under ``root``, so that the next run continues
    where this one stopped.

    Raises:
        DataError: for an unknown dataset, an invalid address or digest, two files with the same
            name, a dataset that already exists, a concurrent fetch of it, a file that cannot be
            fetched, or files that are not the dataset.
        DgunetError: if the disk is too small, full or not writable.
    """
    info = dataset(name)
    check_absent(info, root)
    requested = [_RequestedFile(source) for source in sources]
    names = [one.name for one in requested]
    if len(set(names)) < len(names):
        raise DataError(
            f"two of the files of {name} have the same name ({', '.join(names)}).",
            "Give one address per file; mirrors are only for datasets in one archive.",
        )
    base = downloads / f"{name}.files"
    folder = base / info.trees[0].folder
    with only_one(name, downloads), files.writing(downloads):
        files.make_folder(folder)
        for one in requested:
            try:
                one.fetch(folder / one.name, observe)
            except RemoteError as error:
                raise DataError(
                    f"{one.name} of {name} could not be fetched from {redact(one.url)}: {error}.",
                    f"Run the same command again to continue (downloads are kept in {base}).",
                ) from error
        try:
            imported, verified = import_verified(info, base, root, "")
        except RemoteError as error:
            raise DataError(
                f"the files in {base} are not {name}: {error}", "Remove them, or give other files."
            ) from error
        shutil.rmtree(base)
    if all(one.sha256 for one in requested):
        verified = "verified by the SHA-256 of every file"
    return FetchResult(imported, ", ".join(redact(one.url) for one in requested), "", verified)


class _RequestedFile:
    """One file of a dataset: its address, its name, and its digest if the address has one."""

    def __init__(self, source: str) -> None:
        self.url, fragment = source, ""
        if "://" in source:
            split_address(source)
            self.url, fragment = urldefrag(source)
        self.sha256 = checked_digest(fragment.removeprefix("sha256="))
        path = unquote(split_address(self.url).path) if "://" in source else source
        name = path.rpartition("/")[2]
        if not name:
            raise DataError(
                f"{redact(source)} does not name a file.", "Give the address of a file."
            )
        self.name = safe_file_name(name, origin=f"the address {redact(source)}")
        if PurePosixPath(self.name).suffix.lower() not in DATASET_SUFFIXES:
            kinds = " ".join(sorted(DATASET_SUFFIXES))
            raise DataError(
                f"{redact(source)} does not have the suffix of a dataset's file.",
                f"Known suffixes: {kinds}.",
            )

    def fetch(self, target: Path, observe: Progress) -> None:
        """Download or copy the file to ``target`` unless an earlier run has done so."""
        if downloaded_digest(self.url, target, self.sha256):
            return
        path = local_path(self.url)
        if path is None:
            Download(self.url, target, self.sha256, observe).run()
            return
        if not path.is_file():
            raise RemoteError("the file does not exist")
        if self.sha256 and files.sha256_file(path) != self.sha256:
            raise RemoteError(f"its SHA-256 is not {self.sha256}")
        with files.atomic_path(target) as temporary:
            shutil.copyfile(path, temporary)
