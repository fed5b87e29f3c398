"""The catalogue: every dataset that the paper trains or tests on.

The facts are in ``catalogue.yaml``; this module loads them and checks their types.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from dgunet.system.errors import DataError
from dgunet.terms import Role, Task


class DatasetTree(BaseModel):
    """One arrangement of a dataset on disk: a folder, its layout, and the layout's options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str
    layout: str
    options: dict[str, Any] = Field(default_factory=dict)


class KnownRelease(BaseModel):
    """A release that is identified by its pixels: digest of its store, and description."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str
    what: str


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
    pairs: int = Field(gt=0)
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
    known: tuple[KnownRelease, ...] = ()
    input_psnr: float | None = None
    input_lift: float | None = None
    lift_means: str = ""
    sizes: tuple[str, ...] = ()
    counts: dict[int, str] = Field(default_factory=dict)
    known_pixels: str = ""

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
