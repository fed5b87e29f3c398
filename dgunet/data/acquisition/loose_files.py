"""Fetching a set that is published as single files, such as SIDD's two MATLAB files."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urldefrag

from dgunet.data.acquisition.downloading import Download, Progress, kept
from dgunet.data.acquisition.fetching import (
    Fetched,
    bring_in,
    check_absent,
    checked_digest,
    local_path,
    only_one,
)
from dgunet.data.acquisition.remotes import RemoteError, shown, split_address
from dgunet.data.acquisition.unpacking import TAKEN
from dgunet.data.catalogue.entries import dataset
from dgunet.system import files
from dgunet.system.errors import DataError
from dgunet.system.safe_paths import safe_file_name


def fetch_files(
    name: str,
    sources: Sequence[str],
    root: Path,
    downloads: Path,
    *,
    observe: Progress = lambda here, total: None,
) -> Fetched:
    """Bring set ``name`` from one address (http, https, s3, file) or path for each of its files.

    An address may end in ``#sha256=<digest>``; the file is refused if it differs. Files that are
    whole stay in ``downloads`` until the set lies under ``root``, so that the next run goes on
    where this one stopped.

    Raises:
        DataError: for an unknown set, a bad address or digest, two files of one name, a set that
            is there already, a second fetch of it at the same time, a file that does not come, or
            files that are not the set.
        DgunetError: if the disk is too small, full or not writable.
    """
    info = dataset(name)
    check_absent(info, root)
    wanted = [_Wanted(source) for source in sources]
    names = [one.name for one in wanted]
    if len(set(names)) < len(names):
        raise DataError(
            f"two of the files of {name} are called alike ({', '.join(names)}).",
            "Give one address a file; mirrors are for sets that are one archive.",
        )
    base = downloads / f"{name}.files"
    folder = base / info.trees[0].folder
    with only_one(name, downloads), files.writing(downloads):
        files.make_folder(folder)
        for one in wanted:
            try:
                one.bring(folder / one.name, observe)
            except RemoteError as error:
                raise DataError(
                    f"{one.name} of {name} could not be fetched from {shown(one.url)}: {error}.",
                    f"Run the same command again to go on (what came is kept in {base}).",
                ) from error
        try:
            imported, verified = bring_in(info, base, root, "")
        except RemoteError as error:
            raise DataError(
                f"the files in {base} are not {name}: {error}", "Remove them, or name other files."
            ) from error
        shutil.rmtree(base)
    if all(one.sha256 for one in wanted):
        verified = "verified by the SHA-256 of every file"
    return Fetched(imported, ", ".join(shown(one.url) for one in wanted), "", verified)


class _Wanted:
    """One file: its address, its name, and its digest if the address says it."""

    def __init__(self, source: str) -> None:
        self.url, fragment = source, ""
        if "://" in source:
            split_address(source)
            self.url, fragment = urldefrag(source)
        self.sha256 = checked_digest(fragment.removeprefix("sha256="))
        path = unquote(split_address(self.url).path) if "://" in source else source
        name = path.rpartition("/")[2]
        if not name:
            raise DataError(f"{shown(source)} names no file.", "Give the address of a file.")
        self.name = safe_file_name(name, origin=f"the address {shown(source)}")
        if PurePosixPath(self.name).suffix.lower() not in TAKEN:
            kinds = " ".join(sorted(TAKEN))
            raise DataError(f"{shown(source)} is no file of a set.", f"Their names end in {kinds}.")

    def bring(self, place: Path, observe: Progress) -> None:
        """To ``place``, unless an earlier run has brought it."""
        if kept(self.url, place, self.sha256):
            return
        path = local_path(self.url)
        if path is None:
            Download(self.url, place, self.sha256, observe).run()
            return
        if not path.is_file():
            raise RemoteError("there is no such file")
        if self.sha256 and files.sha256_file(path) != self.sha256:
            raise RemoteError(f"its SHA-256 is not {self.sha256}")
        with files.atomic_path(place) as temporary:
            shutil.copyfile(path, temporary)
