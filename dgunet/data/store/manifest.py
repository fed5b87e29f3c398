"""What ``manifest.json`` says of a prepared store."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from dgunet.system.errors import DataError
from dgunet.system.reading import read_mapping, shorten
from dgunet.system.safe_paths import safe_file_name

VERSION = 1
"""Of the stores' layout; one of another version is refused."""

_NUMBERS = ("count", "published_count", "version", "records", "bytes")

LayoutName = Literal["raw", "compact"]

AGAIN = "Prepare the set again: `dgunet data prepare NAME`, or `dvc repro`."


@dataclass(frozen=True)
class Shard:
    """One Arrow file of a store."""

    file: str
    records: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class StoreManifest:
    """What ``manifest.json`` says of a store.

    ``digest`` is the SHA-256 over the records' ids, shapes and pixels, in order: it does not depend
    on how the records are spread over files. ``complete`` is true when a real set has its published
    number of pairs and nothing speaks against its release (``doubts``); a store of the sample
    profile never is. ``layout`` is written down only where it is not ``raw``, ``doubts`` only where
    there are some.
    """

    dataset: str
    task: str
    role: str
    profile: str
    digest: str
    count: int
    published_count: int
    complete: bool
    protocol: str
    recipe: str
    version: int
    shards: tuple[Shard, ...]
    layout: LayoutName = "raw"
    doubts: tuple[str, ...] = ()

    def content(self) -> dict[str, Any]:
        """What ``manifest.json`` holds."""
        usual = {"layout": "raw", "doubts": ()}
        return {
            k: value for k, value in asdict(self).items() if k not in usual or usual[k] != value
        }

    @classmethod
    def read(cls, folder: Path) -> StoreManifest:
        """The manifest of the store in ``folder``.

        Raises:
            DataError: if there is no store, or it is of another version or damaged.
        """
        path = folder / "manifest.json"
        try:
            content = read_mapping(path)
        except FileNotFoundError:
            raise DataError(
                f"{folder} is not a prepared store: {path} is missing.", AGAIN
            ) from None
        except DataError as error:
            raise DataError(f"{path} is damaged ({error.message}).", AGAIN) from error
        try:
            if content.get("version") != VERSION:
                raise DataError(
                    f"{path}: store version {content.get('version')}, this program reads"
                    f" version {VERSION}.",
                    AGAIN,
                )
            shards = tuple(Shard(**shard) for shard in content.pop("shards"))
            for shard in shards:
                safe_file_name(shard.file, origin=str(path))
            told = tuple(content.pop("doubts", ()))
            manifest = cls(**content, shards=shards, doubts=told)
            _check_kinds(manifest)
            for shard in shards:
                _check_kinds(shard)
            return manifest
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(f"{path} is damaged ({error}).", AGAIN) from error


def _check_kinds(part: StoreManifest | Shard) -> None:
    """Refuse a field of another type than it has.

    Raises:
        TypeError: naming the field and its value.
    """
    for name, value in vars(part).items():
        if name in _NUMBERS:
            fits = type(value) is int and 0 <= value < 2**63
        elif name == "complete":
            fits = type(value) is bool
        elif name == "doubts":
            fits = all(isinstance(doubt, str) for doubt in value)
        elif name == "layout":
            fits = value in ("raw", "compact")
        else:
            fits = name == "shards" or isinstance(value, str)
        if not fits:
            raise TypeError(f"{name} is {shorten(value)}")
