"""The catalogue: every set the paper trains or tests on, as data.

The facts live in ``catalogue.yaml``; this module only checks their types and hands them out.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from dgunet.system.errors import DataError
from dgunet.terms import Role, Task


class Tree(BaseModel):
    """One way a set lies on disk: a folder, the layout that reads it, the layout's options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str
    layout: str
    options: dict[str, Any] = Field(default_factory=dict)


class Known(BaseModel):
    """A release that can be told by its pixels: the digest of its store, and what it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str
    what: str


class Part(BaseModel):
    """A published set that gives some of its pairs to a training set put together from several."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    pairs: int = Field(gt=0)
    citation: str


class DatasetInfo(BaseModel):
    """One catalogue entry; the head of ``catalogue.yaml`` says what each field means."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    task: Task
    role: Role
    pairs: int = Field(gt=0)
    images: int = Field(gt=0)
    protocol: str
    tables: tuple[int, ...]
    trees: tuple[Tree, ...] = Field(min_length=1)
    naming: str
    pairing: str
    variants: str
    licence: str
    citation: str
    url: str
    twelfth: str = ""
    further: str = ""
    parts: tuple[Part, ...] = ()
    known: tuple[Known, ...] = ()
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

    def home(self, tree: Tree) -> Tree:
        """The tree in which files that lie as ``tree`` are kept: the first that reads alike."""
        return next(
            own for own in self.trees if (own.layout, own.options) == (tree.layout, tree.options)
        )

    def candidates(self, root: Path) -> list[tuple[Tree, Path]]:
        """The places under ``root`` where the set may lie, in order of preference."""
        return [
            (tree, base / tree.folder) for tree in self.trees for base in (root / self.role, root)
        ]


def _read() -> dict[str, DatasetInfo]:
    text = (resources.files(__package__) / "catalogue.yaml").read_text(encoding="utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    entries = yaml.load(text, Loader=loader)  # noqa: S506 - both are safe loaders
    return {name: DatasetInfo(name=name, **entry) for name, entry in entries.items()}


_ENTRIES = _read()

CATALOGUE: dict[str, DatasetInfo] = {n: e for n, e in _ENTRIES.items() if not e.further}
"""What the tables are made with: the twelve test sets in the paper's order, then the training sets.

All of them have a sample."""

FURTHER: dict[str, DatasetInfo] = {n: e for n, e in _ENTRIES.items() if e.further}
"""Sets beside those: what the training sets were put together from, or only the code uses."""


def dataset(name: str) -> DatasetInfo:
    """The entry of ``name``, in `CATALOGUE` or `FURTHER`.

    Raises:
        DataError: for an unknown name; the message lists the known ones.
    """
    known = FURTHER | CATALOGUE
    if name not in known:
        names = ", ".join([*CATALOGUE, *FURTHER])
        raise DataError(f"unknown data set {name!r}.", f"Known sets: {names}.")
    return known[name]
