"""What a fetch without an address will bring, told before anything is downloaded."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dgunet.data.acquisition.place_download import place_bytes
from dgunet.data.catalogue.entries import dataset
from dgunet.data.sources.entries import SourcedFiles, sources
from dgunet.data.sources.places import ByHand, GitTree, HttpFiles, Place, SingleFile
from dgunet.system.errors import DataError
from dgunet.terms import Task

Downloadable = SingleFile | GitTree | HttpFiles
"""Places from which files are downloaded automatically."""


@dataclass(frozen=True)
class FetchPlan:
    """What fetching a dataset or weights will bring, and on which terms.

    Attributes:
        name: name of the dataset, or of the weights in ``sources.yaml``.
        title: what it is.
        places: all places in the order of ``sources.yaml``.
        licence: as it is stated.
        citation: the paper to cite.
        command: what reads a file that was downloaded by hand.
        pixels: description of the release that the catalogue knows by its pixels; "" for none.
    """

    name: str
    title: str
    places: tuple[Place, ...]
    licence: str
    citation: str
    command: str
    pixels: str = ""

    @property
    def mirrors(self) -> tuple[Downloadable, ...]:
        """The places that are tried, in this order."""
        return tuple(place for place in self.places if not isinstance(place, ByHand))

    @property
    def bytes(self) -> int | None:
        """Bytes to download from the first mirror; None if nobody states them."""
        return place_bytes(self.mirrors[0]) if self.mirrors else None

    @property
    def disk(self) -> int | None:
        """Bytes of disk during the import: images hardly shrink in an archive, so twice `bytes`."""
        return None if self.bytes is None else 2 * self.bytes

    @property
    def together_with(self) -> tuple[str, ...]:
        """Other datasets that the first mirror brings in the same archive."""
        if not self.mirrors:
            return ()
        return tuple(name for name in sources().holds(self.mirrors[0]) if name != self.name)

    @property
    def by_hand(self) -> str:
        """How to get it, if nothing can be downloaded automatically; else ""."""
        return "" if self.mirrors else self.manual

    @property
    def manual(self) -> str:
        """How to get it in a browser, and the command that reads it then."""
        services = sources().services
        pages = tuple(place for place in self.places if isinstance(place, ByHand))
        told: tuple[Place, ...] = pages or self.places
        ways = [
            place.page(services) + (f" ({place.how})" if isinstance(place, ByHand) else "")
            for place in told
        ]
        return f"Open {', or '.join(ways)}; then run `{self.command}`."

    def lines(self, root: Path, downloads: Path) -> list[str]:
        """Lines of the plan for a terminal.

        Args:
            root: folder that the files end in, whose free disk is shown.
            downloads: folder of the downloads.
        """
        size = f"{self.bytes:,} bytes" if self.bytes else "a size that nobody states"
        if others := self.together_with:
            size += f", with {', '.join(others)} in the same archive"
        need = f"about {readable_bytes(self.disk)}" if self.disk else "unknown"
        free = ", ".join(
            f"{readable_bytes(shutil.disk_usage(_existing(folder)).free)} free in {folder}"
            for folder in dict.fromkeys((root, downloads))
        )
        rows = [("licence", self.licence), ("citation", self.citation)]
        if self.mirrors:
            rows = [("brings", size), ("disk", f"{need} while it is imported; {free}"), *rows]
            rows.append(("checked", self.check))
            rows += [
                (f"mirror {n}", place_line(place)) for n, place in enumerate(self.mirrors, start=1)
            ]
        else:
            rows.append(("by hand", self.by_hand))
        return [f"{self.name}: {self.title}", *(f"  {key:9} {text}" for key, text in rows)]

    @property
    def check(self) -> str:
        """How what comes from the first mirror is verified."""
        place = self.mirrors[0]
        ways = [f"pixels: {self.pixels}"] if self.pixels else []
        if isinstance(place, GitTree):
            ways.append(f"SHA-256 of every file ({place.digest_by})")
        elif place.digests:
            ways.append(f"{', '.join(place.digests)} stated by {place.digest_by}")
        return "; ".join(ways) or "nobody states a digest; the one that comes is recorded"


Consent = Callable[[FetchPlan], bool]
"""Asks whether the user accepts the terms of a plan."""


def place_line(place: Place) -> str:
    """Return kind, address and source of a place in one line."""
    return f"{place.kind}: {place.page(sources().services)}, stated by {'; '.join(place.stated_by)}"


def plan_fetch(name: str) -> FetchPlan:
    """Return what fetching dataset ``name`` will bring.

    Raises:
        DataError: for an unknown dataset, or one that DGUNET_SOURCES leaves without places.
    """
    info, known = dataset(name), sources()
    if name not in known.datasets:
        raise DataError(f"no place of {name} is known.", "Give its address.")
    entry = known.datasets[name]
    return FetchPlan(
        name,
        info.title,
        tuple(known.places_of(entry.places)),
        entry.licence or info.licence,
        info.citation,
        f"dgunet data import {name} FILE_OR_FOLDER",
        info.known[0].name if info.known else "",
    )


def plan_weights(task: Task) -> FetchPlan:
    """Return what fetching the authors' weights for ``task`` will bring.

    Raises:
        DataError: if no place of them is known.
    """
    known = sources()
    for name, entry in known.weights.items():
        if task in entry.tasks:
            return _weights_plan(name, entry, tuple(known.places_of(entry.places)), task)
    raise DataError(
        f"no place of the authors' weights for {task} is known.", "Correct the sources."
    )


def _weights_plan(
    name: str, entry: SourcedFiles, places: tuple[Place, ...], task: Task
) -> FetchPlan:
    command = f"dgunet checkpoint import FILE --task {task} --out FILE.safetensors"
    return FetchPlan(name, entry.title, places, entry.licence, entry.citation, command)


def readable_bytes(count: int) -> str:
    """Return a size as MB or GB with one decimal."""
    return f"{count / 1e6:,.1f} MB" if count < 1e9 else f"{count / 1e9:,.1f} GB"


def _existing(folder: Path) -> Path:
    """The folder itself, or its nearest parent that exists."""
    return next(here for here in (folder.absolute(), *folder.absolute().parents) if here.is_dir())
