"""Verification that a prepared store is unchanged since its preparation.

A store is verified at its first use and after a change of its files. A note outside the store
(`dgunet.data.store.verified_notes`) records for which sizes, times and inodes of its files the
verification succeeded. While these stay the same, the store is not read again; otherwise every
byte is.

One change cannot be detected without a signature: pixels that were changed together with all
digests of the manifest and the seal, in a dataset whose pixels the catalogue does not know.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import cast, get_args

from dgunet.data.catalogue.entries import CATALOGUE, FURTHER, DatasetInfo
from dgunet.data.store import verified_notes
from dgunet.data.store.manifest import PREPARE_AGAIN, StoreManifest
from dgunet.data.store.preparation_recipes import (
    PreparationRecipe,
    RecipeName,
    WholeImages,
    find_recipe,
)
from dgunet.data.store.recognition import ReleaseMeasurements
from dgunet.data.store.records import PairRecord, content_digest, digest_line
from dgunet.data.store.releases import release_doubts
from dgunet.data.store.store_reader import StoreReader
from dgunet.system import files
from dgunet.system.errors import DataError, DgunetError
from dgunet.system.machine_limits import processors
from dgunet.system.reading import shorten
from dgunet.terms import Profile

AT_ONCE = 4
"""Maximum number of files that are verified at the same time, at most one per processor."""

ReportProgress = Callable[[int, int], None]
"""Called with (megabytes verified, total megabytes)."""


@contextmanager
def _silent(title: str) -> Iterator[ReportProgress]:
    yield lambda done, total: None


progress: Callable[[str], AbstractContextManager[ReportProgress]] = _silent
"""Display of a verification's progress under a title. Entry points replace it for their process."""


def ensure_verified(store: StoreReader) -> None:
    """Verify ``store`` unless its files are unchanged since the last verification.

    If several processes open a store at the same time, one verifies it and the others wait.

    Raises:
        DataError: as `verify`.
    """
    folder = store.folder.resolve()
    names = ["manifest.json", *(shard.file for shard in store.manifest.shards)]
    state = verified_notes.state_of(folder, names)
    if verified_notes.is_known(folder, state):
        return
    with verified_notes.exclusive(folder):
        if not verified_notes.is_known(folder, state):
            with progress(f"verify {store.folder.name}") as report:
                verify(store, report)
            if verified_notes.state_of(folder, names) == state:  # unchanged while it was read
                verified_notes.remember(folder, state)


def verify(store: StoreReader, report: ReportProgress = lambda done, total: None) -> None:
    """Read every file of ``store``, decode every record, and recompute all digests.

    Raises:
        DataError: if a file is damaged or its SHA-256 is not the manifest's (the first such file
            is named); if the records do not have ``manifest.digest``; if a store of
            another profile has the pixels of the sample; if a dataset that is marked complete has
            the pixels of another release.
    """
    manifest, path = store.manifest, store.folder / "manifest.json"
    size = sum(shard.bytes for shard in manifest.shards)
    done, contents = 0, _VerifiedContents()
    with ThreadPoolExecutor(min(AT_ONCE, processors())) as pool:
        jobs = [pool.submit(_verify_shard, store, number) for number in range(len(manifest.shards))]
        try:
            for shard, job in zip(manifest.shards, jobs, strict=True):
                contents.join(job.result())
                done += shard.bytes
                report(done >> 20, size >> 20)
        finally:
            pool.shutdown(cancel_futures=True)
    if len(contents.names) != len(contents.lines):
        raise DataError(f"{store.folder} has two records with the same id.", PREPARE_AGAIN)
    if (digest := content_digest(contents.lines)) != manifest.digest:
        raise DataError(
            f"{path} has the digest {manifest.digest}, but the pixels have {digest}.", PREPARE_AGAIN
        )
    if manifest.profile != "sample" and digest in sample_digests():
        raise DataError(
            f"{path}: profile is {manifest.profile!r}, but the pixels are the sample's.",
            PREPARE_AGAIN,
        )
    if manifest.complete:
        _refuse_another_release(manifest, contents, path)


def check_manifest(manifest: StoreManifest, folder: Path) -> None:
    """Refuse a manifest whose facts about a known dataset differ from the catalogue's.

    Raises:
        DataError: naming the field, its value and the right one.
    """
    path = folder / "manifest.json"

    def refuse(name: str, expected: object) -> DataError:
        found = shorten(getattr(manifest, name))
        return DataError(
            f"{path}: {name} is {found}, it should be {shorten(expected)}.", PREPARE_AGAIN
        )

    if manifest.profile not in get_args(Profile):
        raise refuse("profile", " or ".join(get_args(Profile)))
    has_all_pairs = manifest.profile != "sample" and manifest.count == manifest.published_count
    info = (CATALOGUE | FURTHER).get(manifest.dataset)
    if manifest.complete and (info is None or not has_all_pairs or manifest.doubts):
        raise refuse("complete", False)
    if info is None:
        return
    facts = {
        "task": info.task,
        "role": info.role,
        "protocol": info.protocol,
        "published_count": info.pairs * _recipe_of(manifest, info).cut.count,
    }
    for name, expected in facts.items():
        if getattr(manifest, name) != expected:
            raise refuse(name, expected)


@cache
def sample_digests() -> frozenset[str]:
    """Digests of the stores of the sample's datasets, prepared as whole images."""
    text = (resources.files(__package__) / "samples.csv").read_text(encoding="utf-8")
    return frozenset(line.partition(",")[2] for line in text.split()[1:])


@dataclass
class _VerifiedContents:
    """Content read from one or several files of a store.

    Attributes:
        lines: the records' lines of the digest.
        names: ids of the records.
        sizes: number of records by "WxH".
        lift: sum over ``compared`` pairs of mean(input) - mean(target), in grey levels.
        compared: number of pairs whose brightness was compared.
    """

    lines: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    sizes: Counter[str] = field(default_factory=Counter)
    lift: float = 0.0
    compared: int = 0

    def join(self, other: _VerifiedContents) -> None:
        """Append the contents of the next file."""
        self.lines += other.lines
        self.names |= other.names
        self.sizes += other.sizes
        self.lift += other.lift
        self.compared += other.compared

    def add(self, record: PairRecord, *, lifted: bool) -> None:
        """Append one record; ``lifted`` also compares the brightness of its images."""
        degraded, clean = record.input, record.target
        self.lines.append(digest_line(record.id, degraded, clean))
        self.names.add(record.id)
        height, width, _ = record.shape
        self.sizes[f"{width}x{height}"] += 1
        if lifted and degraded is not None and clean is not None:
            self.lift += float(degraded.mean() - clean.mean())
            self.compared += 1


def _verify_shard(store: StoreReader, number: int) -> _VerifiedContents:
    """Hash one file, then decode its records while the file is in the page cache."""
    shard = store.manifest.shards[number]
    path = store.folder / shard.file
    if files.sha256_file(path) != shard.sha256:
        raise DataError(
            f"{path} has changed since it was prepared: its SHA-256 differs.", PREPARE_AGAIN
        )
    contents = _VerifiedContents()
    info = (CATALOGUE | FURTHER).get(store.manifest.dataset)
    lifted = store.manifest.complete and info is not None and info.input_lift is not None
    try:
        for record in store.records_of(number):
            contents.add(record, lifted=lifted)
    except DgunetError:
        raise
    except Exception as error:  # a malformed record makes Arrow and NumPy raise anything
        raise DataError(f"{path} is damaged ({shorten(str(error))}).", PREPARE_AGAIN) from error
    if len(contents.lines) != shard.records:
        raise DataError(
            f"{path} holds {len(contents.lines)} records, not {shard.records}.", PREPARE_AGAIN
        )
    return contents


def _refuse_another_release(
    manifest: StoreManifest, contents: _VerifiedContents, path: Path
) -> None:
    """Repeat the checks that preparation makes before it marks a dataset as complete."""
    info = (CATALOGUE | FURTHER)[manifest.dataset]
    recipe = _recipe_of(manifest, info)
    if not isinstance(recipe.cut, WholeImages) or recipe.luma != "file":
        return
    lift = contents.lift / contents.compared if contents.compared else None
    measured = ReleaseMeasurements(manifest.count, manifest.digest, contents.sizes, input_lift=lift)
    if found := release_doubts(info, measured):
        raise DataError(
            f"{path}: complete is true, but should be false: {found[0].rstrip('.')}.", PREPARE_AGAIN
        )


def _recipe_of(manifest: StoreManifest, info: DatasetInfo) -> PreparationRecipe:
    # `find_recipe` refuses an unknown name.
    return find_recipe(info, cast("RecipeName", manifest.recipe))
