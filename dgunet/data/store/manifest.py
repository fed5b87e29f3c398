"""``manifest.json``: the description of a prepared store."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from dgunet.system.errors import DataError
from dgunet.system.reading import read_mapping, shorten
from dgunet.system.safe_paths import safe_file_name
from dgunet.system.seals import check_seal

VERSION = 1
"""Version of the store format; a store of another version is refused."""

_NUMBERS = ("count", "published_count", "version", "records", "bytes")

LayoutName = Literal["raw", "compact"]

PREPARE_AGAIN = "Prepare the dataset again: `dgunet data prepare NAME`, or `dvc repro`."


@dataclass(frozen=True)
class Shard:
    """One Arrow file of a store."""

    file: str
    records: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class StoreManifest:
    """Content of ``manifest.json``.

    Attributes:
        dataset: catalogue name.
        task, role, protocol: as in the catalogue.
        profile: ``sample`` or ``paper``.
        digest: SHA-256 over the records' ids, shapes and pixels, in order; it does not depend on
            how the records are distributed over files.
        count: number of records.
        published_count: number of records of the published dataset.
        complete: whether a real dataset has its published number of pairs and no ``doubts``; always
            false in the sample profile.
        recipe: name of the preparation recipe.
        version: `VERSION`.
        shards: the files.
        layout: ``raw`` or ``compact``; written only if it is ``compact``.
        doubts: reasons why this is not the benchmark's release; written only if there are any.
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
        """The JSON object of ``manifest.json``."""
        defaults = {"layout": "raw", "doubts": ()}
        return {
            name: value
            for name, value in asdict(self).items()
            if name not in defaults or defaults[name] != value
        }

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of the files by name, as this manifest states them."""
        return {shard.file: shard.sha256 for shard in self.shards}

    @classmethod
    def read(cls, folder: Path, *, sealed: bool = True) -> StoreManifest:
        """Read and check the manifest of the store in ``folder``.

        The other files are not read: the seal must have the SHA-256 that the manifest states.

        Args:
            folder: folder of the store.
            sealed: check the seal too.

        Raises:
            DataError: if there is no store, or it is of another version or damaged; if the
                manifest was changed, a file was added, or there is no seal.
        """
        path = folder / "manifest.json"
        try:
            content = read_mapping(path)
        except FileNotFoundError:
            raise DataError(
                f"{folder} is not a prepared store: {path} is missing.", PREPARE_AGAIN
            ) from None
        except DataError as error:
            raise DataError(f"{path} is damaged ({error.message}).", PREPARE_AGAIN) from error
        try:
            if content.get("version") != VERSION:
                raise DataError(
                    f"{path}: store version {content.get('version')}, this program reads"
                    f" version {VERSION}.",
                    PREPARE_AGAIN,
                )
            shards = tuple(Shard(**shard) for shard in content.pop("shards"))
            for shard in shards:
                safe_file_name(shard.file, origin=str(path))
            doubts = tuple(content.pop("doubts", ()))
            manifest = cls(**content, shards=shards, doubts=doubts)
            _check_types(manifest)
            for shard in shards:
                _check_types(shard)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(f"{path} is damaged ({error}).", PREPARE_AGAIN) from error
        if sealed:
            manifest.check_sealed(folder)
        return manifest

    def check_sealed(self, folder: Path) -> None:
        """Compare the seal of the store in ``folder`` with this manifest's file and its digests.

        Raises:
            DataError: if the manifest was changed, a file was added, or there is no seal.
        """
        check_seal(folder, again=PREPARE_AGAIN, known=self.digests, what=self.dataset)


def _check_types(entry: StoreManifest | Shard) -> None:
    """Refuse a field whose value has the wrong type or is out of range.

    Raises:
        TypeError: naming the field and its value.
    """
    for name, value in vars(entry).items():
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
