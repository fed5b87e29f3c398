"""The catalogue: every dataset that the paper trains or tests on.

The facts are in ``catalogue.yaml``; this module loads them and checks their types.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from dgunet.data.catalogue.release import PrintedNumber, Release, check_releases
from dgunet.system.errors import DataError
from dgunet.terms import Role, Task


class DatasetTree(BaseModel):
    """One arrangement of a dataset on disk: a folder, its layout, and the layout's options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str
    layout: str
    options: dict[str, Any] = Field(default_factory=dict)


class ContributingDataset(BaseModel):
    """A published dataset that contributes pairs to a training set composed of several."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    pairs: int = Field(gt=0)
    citation: str


class DatasetInfo(BaseModel):
    """One catalogue entry; the head of ``catalogue.yaml`` describes the fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    task: Task
    role: Role
    releases: tuple[Release, ...]
    printed: PrintedNumber | None = None
    images: int = Field(gt=0)
    protocol: str
    tables: tuple[int, ...]
    trees: tuple[DatasetTree, ...] = Field(min_length=1)
    naming: str
    pairing: str
    variants: str
    licence: str
    citation: str
    url: str
    twelfth: str = ""
    further: str = ""
    parts: tuple[ContributingDataset, ...] = ()
    input_lift: float | None = None
    lift_means: str = ""
    sizes: tuple[str, ...] = ()
    counts: dict[int, str] = Field(default_factory=dict)
    known_pixels: str = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_releases(self.releases)
        if self.printed is not None and self.printed.pairs == self.pairs:
            raise ValueError(f"printed is the number of pairs of {self.name}: leave it out")
        if self.parts and sum(part.pairs for part in self.parts) != self.printed_pairs:
            raise ValueError(f"the parts of {self.name} do not add up to the printed number")
        if others := [r.name for r in self.releases if r.pairs in self.counts]:
            raise ValueError(f"the number of pairs of {others[0]} is in counts too")
        return self

    @property
    def published_release(self) -> Release:
        """The release that the published numbers were made with."""
        return next(release for release in self.releases if release.published)

    @property
    def pairs(self) -> int:
        """Number of pairs of the published release: what makes a dataset complete."""
        return self.published_release.pairs

    @property
    def printed_pairs(self) -> int:
        """Number of pairs that the paper states."""
        return self.printed.pairs if self.printed else self.pairs

    @property
    def print_note(self) -> str:
        """Both numbers and who states the second, if the paper prints another than it used."""
        if self.printed is None:
            return ""
        return (
            f"the paper prints {self.printed.pairs:,} pairs {self.printed.where}; the published"
            f" numbers were made with {self.pairs:,} ({self.published_release.stated_by})"
        )

    @property
    def known(self) -> tuple[Release, ...]:
        """Releases that are known by the digest of their pixels."""
        return tuple(release for release in self.releases if release.digest)

    def other_release(self, pairs: int) -> Release | None:
        """Release with that number of complete pairs, if the published one has another number."""
        if pairs == self.pairs:
            return None
        return next((r for r in self.releases if r.paired and r.pairs == pairs), None)

    @property
    def grey(self) -> bool:
        """Whether the network of this task works on one channel (compressive sensing)."""
        return self.task == "cs"

    def home(self, tree: DatasetTree) -> DatasetTree:
        """Tree in which an import of ``tree`` is stored: the first with its layout and options."""
        return next(
            own for own in self.trees if (own.layout, own.options) == (tree.layout, tree.options)
        )

    def candidates(self, root: Path) -> list[tuple[DatasetTree, Path]]:
        """Possible folders of the dataset under ``root`` with their trees, preferred ones first."""
        return [
            (tree, base / tree.folder) for tree in self.trees for base in (root / self.role, root)
        ]


def _load_entries() -> dict[str, DatasetInfo]:
    text = (resources.files(__package__) / "catalogue.yaml").read_text(encoding="utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    entries = yaml.load(text, Loader=loader)  # noqa: S506 - both are safe loaders
    return {name: DatasetInfo(name=name, **entry) for name, entry in entries.items()}


_ENTRIES = _load_entries()

CATALOGUE: dict[str, DatasetInfo] = {n: e for n, e in _ENTRIES.items() if not e.further}
"""Datasets behind the tables: the twelve test sets in the paper's order, then the training sets.

The sample data contains all of them."""

FURTHER: dict[str, DatasetInfo] = {n: e for n, e in _ENTRIES.items() if e.further}
"""Further datasets: sources of the training sets, and those that only the released code uses."""


def dataset(name: str) -> DatasetInfo:
    """Look up the entry ``name`` in `CATALOGUE` or `FURTHER`.

    Raises:
        DataError: for an unknown name; the message lists the known ones.
    """
    known = FURTHER | CATALOGUE
    if name not in known:
        names = ", ".join([*CATALOGUE, *FURTHER])
        raise DataError(f"unknown dataset {name!r}.", f"Known datasets: {names}.")
    return known[name]


def counted(name: str, count: int, published: int, unit: str) -> str:
    """Text of a number of records of dataset ``name``, next to that of its published release.

    >>> print(counted("Rain100L", 3, 100, "images"))
    3 of 100 images
    >>> print(counted("Test100", 100, 98, "images"))
    100 images ("Rain800's test half"), not the published 98
    """
    info = (FURTHER | CATALOGUE).get(name)
    other = info.other_release(count) if info is not None and published == info.pairs else None
    if other is None and count <= published:
        return f"{count} of {published} {unit}"
    named = f' ("{other.name}")' if other else ""
    return f"{count} {unit}{named}, not the published {published}"
