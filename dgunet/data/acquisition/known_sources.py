"""Fetching of a dataset from the places that ``sources.yaml`` states, without an address."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from dgunet.data.acquisition.downloading import Progress, discard_download
from dgunet.data.acquisition.fetch_plan import (
    Consent,
    Downloadable,
    FetchPlan,
    plan_fetch,
    readable_bytes,
)
from dgunet.data.acquisition.fetching import FetchResult, check_absent, import_verified, only_one
from dgunet.data.acquisition.importing import ImportResult
from dgunet.data.acquisition.place_download import (
    Received,
    archive_path,
    receive_file,
    receive_files,
)
from dgunet.data.acquisition.remotes import RemoteError
from dgunet.data.acquisition.source_records import NOBODY, write_record
from dgunet.data.acquisition.unpacking import is_archive, unpack
from dgunet.data.catalogue.entries import DatasetInfo, dataset
from dgunet.data.readers.folder_layouts import find_present
from dgunet.data.sources.entries import sources
from dgunet.data.sources.places import GitTree, HttpFiles, SingleFile
from dgunet.system import files
from dgunet.system.errors import DataError

Result = TypeVar("Result")


@dataclass(frozen=True)
class KnownFetch(FetchResult):
    """Result of a fetch from a stated place.

    Attributes:
        place: name of the place.
        record: file that records what came.
        kept: line about an archive that is kept for other datasets; "" if none is.
    """

    place: str
    record: Path
    kept: str = ""

    def lines(self) -> list[str]:
        """Lines for the command line."""
        doubts = [remark for remark in self.imported.remarks() if "warning" in remark]
        archive = [f"archive {self.sha256}"] if self.sha256 else []
        verified = self.verified or f"not verified: {NOBODY}"
        recorded = f"what came is recorded in {self.record}"
        kept = [self.kept] if self.kept else []
        source = f"from {self.place}: {self.source}"
        return [self.imported.line(), *doubts, source, *archive, verified, recorded, *kept]


def fetch_known(
    name: str,
    root: Path,
    downloads: Path,
    *,
    consent: Consent,
    observe: Progress = lambda received, total: None,
    note: Callable[[str], None] = lambda line: None,
) -> KnownFetch:
    """Fetch dataset ``name`` from the first of its stated places that has it, and import it.

    A download stays in ``downloads`` until the dataset is complete under ``root``, so that the next
    run continues where this one stopped. An archive of several datasets stays until all of them
    are under ``root``. The dataset appears under its final name only when it has the stated digest
    and, where the catalogue knows them, the pixels of a known release. What came is recorded next
    to it.

    Args:
        name: a catalogue name.
        root: the folder of the official trees, e.g. ``data/paper``.
        downloads: folder for the downloads.
        consent: asked once, before anything is requested.
        observe: called with (bytes received, total bytes or None).
        note: called with one line for each place that is tried or fails.

    Raises:
        DataError: for an unknown dataset, one that already exists or is being fetched, terms that
            are not accepted, or if no place provides it; the error says how to get it by hand.
        DgunetError: if the disk is too small, full or not writable.
    """
    info, plan = dataset(name), plan_fetch(name)
    check_absent(info, root)
    require_downloadable(plan)
    require_consent(plan, consent)
    with only_one(name, downloads):
        return try_places(
            plan,
            downloads,
            lambda place: _fetch_from(info, plan, place, root, downloads, observe),
            note,
        )


def require_downloadable(plan: FetchPlan) -> None:
    """Refuse a plan of which nothing can be downloaded automatically.

    Raises:
        DataError: with the way to get it by hand.
    """
    if plan.by_hand:
        raise DataError(f"{plan.name} cannot be downloaded automatically.", plan.by_hand)


def require_consent(plan: FetchPlan, consent: Consent) -> None:
    """Ask for consent.

    Raises:
        DataError: if the terms are not accepted.
    """
    if not consent(plan):
        raise DataError(
            f"the terms of {plan.name} were not accepted; nothing was downloaded.",
            f"`dgunet data sources` shows where it comes from. By hand: {plan.manual}",
        )


def try_places(
    plan: FetchPlan,
    downloads: Path,
    fetch: Callable[[Downloadable], Result],
    note: Callable[[str], None],
) -> Result:
    """Return the result of ``fetch`` for the first place for which it succeeds.

    A place whose file is already in ``downloads`` is tried first.

    Raises:
        DataError: if no place succeeds, with every reason and the way by hand.
    """
    reasons = []
    for place in sorted(plan.mirrors, key=lambda place: not _is_here(place, downloads)):
        note(f"{plan.name}: from {place.name} ({place.kind}), {place.page(sources().services)}")
        try:
            with only_one(place.name, downloads):
                return fetch(place)
        except RemoteError as error:
            reasons.append(f"{place.name}: {error}".removesuffix("."))
            note(f"refused: {reasons[-1]}")
    raise DataError(
        f"{plan.name} could not be fetched. {'; '.join(reasons)}.",
        f"Run the same command again to continue (downloads are kept in {downloads}). By hand:"
        f" {plan.manual}",
    )


def _is_here(place: Downloadable, downloads: Path) -> bool:
    return isinstance(place, SingleFile) and archive_path(place, downloads).is_file()


def _fetch_from(
    info: DatasetInfo,
    plan: FetchPlan,
    place: Downloadable,
    root: Path,
    downloads: Path,
    observe: Progress,
) -> KnownFetch:
    services = sources().services
    if isinstance(place, GitTree | HttpFiles):
        folder = info.trees[0].folder
        received = receive_files(place, services, downloads, folder, observe)
        imported, pixels = import_verified(info, received.path, root, "")
    else:
        received = receive_file(place, services, downloads, observe)
        imported, pixels = _import_archive(info, place, received, root)
    verified = "; ".join(filter(None, (pixels, _checked(received))))
    record = write_record(imported.folder, plan, place, received, pixels=pixels)
    kept = _tidy(place, received, root)
    return KnownFetch(
        imported, received.address, received.sha256, verified, place.name, record, kept
    )


def _checked(received: Received) -> str:
    return f"verified by {received.checked}" if received.checked else ""


def _import_archive(
    info: DatasetInfo, place: SingleFile, received: Received, root: Path
) -> tuple[ImportResult, str]:
    """Import a dataset from an archive, which is discarded if it is not what it should be."""
    try:
        if not is_archive(received.path):
            raise RemoteError("the file is neither a zip nor a tar archive")
        if place.renamed is None:
            return import_verified(info, received.path, root, "")
        return _import_renamed(info, place.renamed, received.path, root)
    except RemoteError:
        if not received.checked:  # else it is the file that everybody gets
            discard_download(received.path)
        raise


def _import_renamed(
    info: DatasetInfo, renamed: tuple[str, str], archive: Path, root: Path
) -> tuple[ImportResult, str]:
    """Import a dataset whose folder in the archive has the name of another dataset."""
    theirs, ours = renamed
    with files.partial_folder(root / "unpack") as work:
        (work / "archive").mkdir()
        try:
            unpack(archive, work / "archive")
        except DataError as error:
            raise RemoteError(str(error)) from error
        folder, named = work / "archive" / theirs, work / "named" / ours
        if not folder.is_dir():
            raise RemoteError(f"the archive has no folder {theirs}")
        named.parent.mkdir(parents=True)
        folder.rename(named)
        return import_verified(info, named, root, "")


def _tidy(place: Downloadable, received: Received, root: Path) -> str:
    """Remove the download unless other datasets need it; say so if it is kept."""
    if not isinstance(place, SingleFile):
        shutil.rmtree(received.path)
        return ""
    missing = [n for n in sources().holds(place) if find_present(dataset(n), root) is None]
    if not missing:
        discard_download(received.path)
        return ""
    return (
        f"kept {received.path} ({readable_bytes(received.bytes)}), which also has"
        f" {', '.join(missing)}; `dgunet clean --unfinished --yes` removes it"
    )
