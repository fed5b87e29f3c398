"""Fetching of the authors' weights: archive, member, strict import, record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dgunet.data.acquisition.downloading import Progress, discard_download
from dgunet.data.acquisition.fetch_plan import (
    Consent,
    Downloadable,
    FetchPlan,
    plan_weights,
    readable_bytes,
)
from dgunet.data.acquisition.fetching import only_one
from dgunet.data.acquisition.known_sources import (
    require_consent,
    require_downloadable,
    try_places,
)
from dgunet.data.acquisition.place_download import Received, receive_file
from dgunet.data.acquisition.remotes import RemoteError
from dgunet.data.acquisition.source_records import write_record
from dgunet.data.acquisition.weight_members import NotWeightsError, WantedNetwork, find_member
from dgunet.data.sources.entries import sources
from dgunet.data.sources.places import GitTree, HttpFiles
from dgunet.network.checkpoint import save_network
from dgunet.system import files
from dgunet.system.errors import CheckpointError, DataError
from dgunet.terms import Task, Variant


@dataclass(frozen=True)
class _Request:
    """What one call of `released_weights` is about."""

    plan: FetchPlan
    wanted: WantedNetwork
    out: Path
    downloads: Path


def released_weights(
    task: Task,
    variant: Variant,
    ratio: int | None,
    out: Path,
    downloads: Path,
    *,
    consent: Consent,
    observe: Progress = lambda received, total: None,
    note: Callable[[str], None] = lambda line: None,
) -> Path:
    """Fetch the authors' weights of one network and convert them to a dgunet checkpoint.

    The checkpoint of compressive sensing holds its sampling matrix, so that no other file is
    needed. The archive stays in ``downloads`` for the other networks that it holds. What came is
    recorded in ``out`` with ``.source.json``; the metadata of ``out`` has the member, the archive's
    place, and both digests.

    Args:
        task: task of the network.
        variant: variant of the network.
        ratio: sampling ratio in percent for compressive sensing, else None.
        out: checkpoint to write (.safetensors); it must not exist.
        downloads: folder for the archive.
        consent: asked once, before anything is requested.
        observe: called with (bytes received, total bytes or None).
        note: called with one line for each step.

    Returns:
        ``out``.

    Raises:
        DataError: if terms are not accepted, or no place provides the weights; the error says how
            to get them by hand.
        CheckpointError: if ``out`` exists, or not exactly one member is this network.
        ConfigError: for a task, variant or ratio that the authors have not published.
        DgunetError: if the disk is too small, full or not writable.
    """
    if out.exists():
        raise CheckpointError(f"{out} already exists.", "Move it away, or name another file.")
    request = _Request(plan_weights(task), WantedNetwork(task, variant, ratio), out, downloads)
    require_downloadable(request.plan)
    require_consent(request.plan, consent)
    with only_one(request.plan.name, downloads):
        return try_places(
            request.plan, downloads, lambda place: _fetch(request, place, observe, note), note
        )


def _fetch(
    request: _Request, place: Downloadable, observe: Progress, note: Callable[[str], None]
) -> Path:
    if isinstance(place, GitTree | HttpFiles):
        raise RemoteError("weights are only fetched as one file or archive")
    received = receive_file(place, sources().services, request.downloads, observe)
    try:
        with files.partial_folder(request.out.parent / "unpack-weights") as work:
            found = find_member(received.path, work, request.wanted)
    except (NotWeightsError, DataError) as error:  # DataError: a damaged archive
        if not received.checked:
            discard_download(received.path)
        raise RemoteError(str(error)) from error
    note(f"{request.wanted}: {found.name} in {received.path}")
    origin = {
        **found.origin,
        "origin": found.name,
        "origin_place": place.name,
        "origin_address": received.address,
        "origin_archive_sha256": received.sha256,
    }
    save_network(found.network, request.out, origin)
    _record(request, place, received, found.origin, found.name)
    note(
        f"kept {received.path} ({readable_bytes(received.bytes)}) for the other networks in it;"
        " `dgunet clean --unfinished --yes` removes it"
    )
    return request.out


def _record(
    request: _Request,
    place: Downloadable,
    received: Received,
    origin: dict[str, str],
    member: str,
) -> None:
    facts = {"network": str(request.wanted), "member": member}
    facts["member_sha256"] = origin["origin_sha256"]
    write_record(request.out, request.plan, place, received, **facts)
