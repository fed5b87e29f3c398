"""The sources: places, and which of them have a dataset or published weights.

The facts are in ``sources.yaml`` and ``git_files.csv``; this module loads and checks them. The file
that DGUNET_SOURCES names adds entries of the same form or replaces them.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from dgunet.data.sources.places import ByHand, GitTree, Place, Service, web_address
from dgunet.system import environment
from dgunet.system.errors import DataError
from dgunet.system.reading import parse_yaml, read_text
from dgunet.terms import Task

_PARTS = ("services", "places", "datasets", "weights", "outputs")


class SourcedDataset(BaseModel):
    """The places of a dataset in the order in which they are tried.

    Attributes:
        places: names of places.
        licence: where somebody states one that the catalogue does not have; else "".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    places: tuple[str, ...] = Field(min_length=1)
    licence: str = ""


class SourcedFiles(BaseModel):
    """Published weights, or restored images, and their places.

    Attributes:
        title: what they are.
        tasks: tasks of the authors' networks that they hold; none for other people's.
        places: names of places.
        licence: as it is stated.
        citation: the paper.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    tasks: tuple[Task, ...] = ()
    places: tuple[str, ...] = Field(min_length=1)
    licence: str
    citation: str


class Sources(BaseModel):
    """Everything that ``sources.yaml`` states; its head describes the fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    collected: str
    services: Mapping[Service, str]
    places: Mapping[str, Place]
    datasets: Mapping[str, SourcedDataset]
    weights: Mapping[str, SourcedFiles]
    outputs: Mapping[str, SourcedFiles] = Field(default_factory=dict)

    @field_validator("services")
    @classmethod
    def _bases(cls, services: Mapping[Service, str]) -> Mapping[Service, str]:
        return {name: web_address(base).rstrip("/") for name, base in services.items()}

    @model_validator(mode="after")
    def _known_places(self) -> Sources:
        named = self.datasets | self.weights | self.outputs  # type: ignore[operator]
        for entry in named.values():
            for place in entry.places:
                if place not in self.places:
                    raise ValueError(f"there is no place {place!r}")
        for place in self.places.values():
            if place.digests and not place.digest_by:
                raise ValueError(f"{place.name} has a digest, but digest_by does not say whose")
        return self

    def places_of(self, names: tuple[str, ...]) -> list[Place]:
        """Return the places called ``names``."""
        return [self.places[name] for name in names]

    def holds(self, place: Place) -> list[str]:
        """Return the datasets that ``place`` is named for; an archive may carry several."""
        return [name for name, entry in self.datasets.items() if place.name in entry.places]

    def automatic(self, names: tuple[str, ...]) -> list[Place]:
        """Return those of the places called ``names`` from which files can be downloaded."""
        return [place for place in self.places_of(names) if not isinstance(place, ByHand)]


class GitFile(BaseModel):
    """One file of a `GitTree`: its path in the dataset's folder, its size and its digest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    place: str
    path: str
    bytes: int = Field(gt=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


def sources() -> Sources:
    """Return the sources of this package with the changes of the file DGUNET_SOURCES.

    Raises:
        DataError: if that file is missing or not of the form of ``sources.yaml``.
    """
    path = environment.SOURCES.get()
    return _own() if path is None else _changed(path)


def git_files(place: GitTree) -> list[GitFile]:
    """Return the files of a git tree.

    Raises:
        DataError: if ``git_files.csv`` lists none.
    """
    found = _git_files().get(place.name, [])
    if not found:
        raise DataError(
            f"no file of the git tree {place.name!r} is known.",
            "Only the git trees of dgunet/data/sources can be fetched file by file; give the"
            " address of an archive, kind http, instead.",
        )
    return found


@cache
def _git_files() -> dict[str, list[GitFile]]:
    text = (resources.files(__package__) / "git_files.csv").read_text(encoding="utf-8")
    found: dict[str, list[GitFile]] = {}
    for row in csv.DictReader(text.splitlines()):
        one = GitFile.model_validate(row)
        found.setdefault(one.place, []).append(one)
    return found


@cache
def _own() -> Sources:
    return _validated(_own_content(), "sources.yaml")


@cache
def _own_content() -> dict[str, Any]:
    text = (resources.files(__package__) / "sources.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = parse_yaml(text, "sources.yaml")
    return content


def _changed(path: Path) -> Sources:
    variable = environment.SOURCES.name
    try:
        changes = parse_yaml(read_text(path), str(path))
    except FileNotFoundError as error:
        raise DataError(
            f"{path}, which {variable} names, does not exist.", f"Correct or unset {variable}."
        ) from error
    if not isinstance(changes, dict) or not all(
        part in _PARTS and isinstance(entries, dict) for part, entries in changes.items()
    ):
        raise DataError(
            f"{path} does not have the form of sources.yaml.",
            f"It is a mapping with some of the keys {', '.join(_PARTS)}, each with its entries.",
        )
    own = _own_content()
    merged = {part: {**own.get(part, {}), **changes.get(part, {})} for part in _PARTS}
    return _validated({**own, **merged}, str(path))


def _validated(content: dict[str, Any], origin: str) -> Sources:
    places = {
        name: {"name": name, **entry} if isinstance(entry, dict) else entry
        for name, entry in content["places"].items()
    }
    try:
        return Sources.model_validate({**content, "places": places})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DataError(
            f"{origin}: {where or 'the file'}: {first['msg']}.".replace("..", "."),
            "The head of dgunet/data/sources/sources.yaml explains the fields.",
        ) from error
