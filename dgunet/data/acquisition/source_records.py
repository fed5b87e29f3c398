"""Records of what was downloaded, in a small JSON file next to it.

Nobody states a digest for most places. The record is then what a later download can be compared
with. It has the date, so it is no output of a DVC stage.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from dgunet.data.acquisition.fetch_plan import FetchPlan
from dgunet.data.acquisition.place_download import Received
from dgunet.data.sources.entries import sources
from dgunet.data.sources.places import Place
from dgunet.system import files

SUFFIX = ".source.json"

NOBODY = "nobody states a digest"


def record_path(target: Path) -> Path:
    """Return where the record of a dataset's folder or a weights file is."""
    return target.with_name(target.name + SUFFIX)


def write_record(
    target: Path, plan: FetchPlan, place: Place, received: Received, **more: str
) -> Path:
    """Record where ``target`` came from, and return the path of the record.

    Args:
        target: folder of the dataset, or weights file.
        plan: what was agreed to.
        place: where the files came from.
        received: the downloaded files.
        more: further facts by name; empty ones are left out.
    """
    content = {
        "name": plan.name,
        "place": place.name,
        "kind": place.kind,
        "address": received.address,
        "stated_by": list(place.stated_by),
        "collected": sources().collected,
        "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
        "bytes": received.bytes,
        "sha256": received.sha256 or received.digests,
        "digest": received.checked or NOBODY,
        **{key: text for key, text in more.items() if text},
        "licence": plan.licence,
        "citation": plan.citation,
    }
    path = record_path(target)
    files.write_json(path, content)
    return path
