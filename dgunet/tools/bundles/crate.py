"""The description of a bundle as an RO-Crate, ``ro-crate-metadata.json``.

A bundle of a project's results follows the profile Workflow Run Crate 0.5, one of other results the
profile Process Run Crate 0.5 (https://www.researchobject.org/workflow-run-crate/profiles), both of
RO-Crate 1.1. It is written here because the package `rocrate` needs five others for one JSON file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dgunet import __version__
from dgunet.tools import croissant
from dgunet.tools.bundles.contents import SBOM
from dgunet.tools.media_types import media_type

METADATA = "ro-crate-metadata.json"
COPY = "copy-of-"
"""Before the names of DVC's files: under their own names, a bundle inside a DVC project would add
stages to it."""
WORKFLOW = f"configuration/{COPY}dvc.yaml"

_RUN = "https://w3id.org/ro/wfrun"
_PROCESS, _WORKFLOW_RUN = f"{_RUN}/process/0.5", f"{_RUN}/workflow/0.5"
_WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
_CROISSANT = {
    "@id": croissant.CONFORMS_TO,
    "@type": "CreativeWork",
    "name": "Croissant",
    "version": croissant.CONFORMS_TO.rpartition("/")[2],
}


def describe(names: Sequence[str], *, title: str, text: str, date: str) -> dict[str, Any]:
    """The content of ``ro-crate-metadata.json``.

    Args:
        names: relative paths of all files that it describes.
        title: name of the bundle.
        text: one sentence about it.
        date: the day on which it was made, YYYY-MM-DD.
    """
    workflow = WORKFLOW in names
    profiles = [_PROCESS, *([_WORKFLOW_RUN, _WORKFLOW_CRATE] if workflow else [])]
    root: dict[str, Any] = {
        "@id": "./",
        "@type": "Dataset",
        "name": title,
        "description": text,
        "datePublished": date,
        "license": "The scores are facts. The datasets have the licences of their authors.",
        "conformsTo": [{"@id": profile} for profile in profiles],
        "hasPart": [{"@id": name} for name in names],
        "mentions": [{"@id": "#run"}],
    }
    if workflow:
        root["mainEntity"] = {"@id": WORKFLOW}
    graph: list[dict[str, Any]] = [
        {
            "@id": METADATA,
            "@type": "CreativeWork",
            "about": {"@id": "./"},
            "conformsTo": [
                {"@id": "https://w3id.org/ro/crate/1.1"},
                *([{"@id": _WORKFLOW_CRATE}] if workflow else []),
            ],
        },
        root,
        *({"@id": one, "@type": "CreativeWork", "name": one.split("/")[-2]} for one in profiles),
        _action(names, workflow),
        _software(),
        *([_language()] if workflow else []),
        *([_CROISSANT] if any(map(_is_croissant, names)) else []),
        *(_file(name) for name in names),
    ]
    return {"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph}


def _action(names: Sequence[str], workflow: bool) -> dict[str, Any]:
    made = ("evaluations/", "tables/", "claims/", "cells.json", "trainings/")
    given = ("configuration/", "prepared/", "weights/")
    return {
        "@id": "#run",
        "@type": "CreateAction",
        "name": "The run that made the results",
        "instrument": {"@id": WORKFLOW if workflow else "#dgunet"},
        "object": [{"@id": name} for name in names if name.startswith(given) and name != WORKFLOW],
        "result": [{"@id": name} for name in names if name.startswith(made)],
    }


def _software() -> dict[str, Any]:
    return {
        "@id": "#dgunet",
        "@type": "SoftwareApplication",
        "name": "dgunet",
        "version": __version__,
    }


def _language() -> dict[str, Any]:
    return {
        "@id": "#dvc",
        "@type": "ComputerLanguage",
        "name": "DVC pipeline",
        "url": {"@id": "https://dvc.org"},
    }


def _file(name: str) -> dict[str, Any]:
    entity: dict[str, Any] = {"@id": name, "@type": "File", "name": name}
    if name == WORKFLOW:
        entity["@type"] = ["File", "SoftwareSourceCode", "ComputationalWorkflow"]
        entity["programmingLanguage"] = {"@id": "#dvc"}
    entity["encodingFormat"] = media_type(name, unknown="text/plain")
    if name == SBOM:
        entity["encodingFormat"] = "application/vnd.cyclonedx+json"
    elif _is_croissant(name):
        entity["encodingFormat"] = "application/ld+json"
        entity["conformsTo"] = {"@id": croissant.CONFORMS_TO}
    return entity


def _is_croissant(name: str) -> bool:
    return name.rpartition("/")[2] == croissant.FILE
