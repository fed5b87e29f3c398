"""Is a prepared store still what was prepared? Asked at its first use, and after a change of it.

A note outside the store (`dgunet.data.store.verified_notes`) says for which sizes, times and inodes
of its files it was found whole. As long as these stay, a store is taken as it is; otherwise every
byte is read again.

What this cannot notice: pixels that were changed together with all digests of the manifest, in a
set whose pixels the catalogue does not know. Only a signature could.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, cast

from dgunet.data.catalogue.entries import CATALOGUE, FURTHER, DatasetInfo
from dgunet.data.store import verified_notes
from dgunet.data.store.manifest import AGAIN, StoreManifest
from dgunet.system import files
from dgunet.system.errors import DataError, DgunetError
from dgunet.system.reading import shorten

if TYPE_CHECKING:
    from dgunet.data.store.pair_store import PairRecord, PairStore
    from dgunet.data.store.preparation_recipes import Recipe, RecipeName

AT_ONCE = 4
"""Files that are verified at the same time, at most one a processor."""

Tell = Callable[[int, int], None]
"""Called with (megabytes verified, megabytes in all)."""


@contextmanager
def _silent(title: str) -> Iterator[Tell]:
    yield lambda done, total: None


progress: Callable[[str], AbstractContextManager[Tell]] = _silent
"""Shows the progress of a verification under a title; entry points put their own here."""


def ensure_whole(store: PairStore) -> None:
    """Verify ``store`` unless its files are those of the last time.

    Processes that open one store at the same time verify it once; the others wait.

    Raises:
        DataError: as `verify`.
    """
    here = store.folder.resolve()
    names = ["manifest.json", *(shard.file for shard in store.manifest.shards)]
    state = verified_notes.state_of(here, names)
    if verified_notes.is_known(here, state):
        return
    with verified_notes.turn(here):
        if not verified_notes.is_known(here, state):
            with progress(f"verify {store.folder.name}") as tell:
                verify(store, tell)
            if verified_notes.state_of(here, names) == state:  # else it changed while it was read
                verified_notes.remember(here, state)


def verify(store: PairStore, tell: Tell = lambda done, total: None) -> None:
    """Read every file of ``store``, decode every record, and compare all that can be computed.

    Raises:
        DataError: naming the first file whose SHA-256 is not the manifest's or that is damaged;
            for records other than those of ``manifest.digest``; for pixels of the sample under
            another profile; and for a set that is called complete with the pixels of another
            release.
    """
    from dgunet.data.store.pair_store import content_digest

    manifest, path = store.manifest, store.folder / "manifest.json"
    size = sum(shard.bytes for shard in manifest.shards)
    done, whole = 0, _Part()
    with ThreadPoolExecutor(min(AT_ONCE, os.cpu_count() or 1)) as pool:
        jobs = [pool.submit(_shard, store, number) for number in range(len(manifest.shards))]
        try:
            for shard, job in zip(manifest.shards, jobs, strict=True):
                whole.join(job.result())
                done += shard.bytes
                tell(done >> 20, size >> 20)
        finally:
            pool.shutdown(cancel_futures=True)
    if len(whole.names) != len(whole.lines):
        raise DataError(f"{store.folder} has two records of one name.", AGAIN)
    if (digest := content_digest(whole.lines)) != manifest.digest:
        raise DataError(
            f"{path} names the digest {manifest.digest}, the pixels have {digest}.", AGAIN
        )
    if manifest.profile != "sample" and digest in sample_digests():
        raise DataError(
            f"{path}: profile is {manifest.profile!r}, the pixels are the sample's.", AGAIN
        )
    if manifest.complete:
        _refuse_another_release(manifest, whole, path)


def check_manifest(manifest: StoreManifest, folder: Path) -> None:
    """Refuse a manifest that says of a known set what the catalogue does not.

    Raises:
        DataError: naming the field, its value and the right one.
    """
    path = folder / "manifest.json"

    def refuse(name: str, wanted: object) -> DataError:
        told = shorten(getattr(manifest, name))
        return DataError(f"{path}: {name} is {told}, it should be {shorten(wanted)}.", AGAIN)

    if manifest.profile not in ("sample", "paper"):
        raise refuse("profile", "sample or paper")
    whole = manifest.profile == "paper" and manifest.count == manifest.published_count
    info = (CATALOGUE | FURTHER).get(manifest.dataset)
    if manifest.complete and (info is None or not whole or manifest.doubts):
        raise refuse("complete", False)
    if info is None:
        return
    facts = {
        "task": info.task,
        "role": info.role,
        "protocol": info.protocol,
        "published_count": info.pairs * _way(manifest, info).cut.count,
    }
    for name, wanted in facts.items():
        if getattr(manifest, name) != wanted:
            raise refuse(name, wanted)


@cache
def sample_digests() -> frozenset[str]:
    """Of the stores of the sample's sets, prepared whole."""
    text = (resources.files(__package__) / "samples.csv").read_text(encoding="utf-8")
    return frozenset(line.partition(",")[2] for line in text.split()[1:])


@dataclass
class _Part:
    """What some files have: their records' lines of the digest, names and sizes, and their lift."""

    lines: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    sizes: Counter[str] = field(default_factory=Counter)
    lift: float = 0.0
    compared: int = 0

    def join(self, other: _Part) -> None:
        self.lines += other.lines
        self.names |= other.names
        self.sizes += other.sizes
        self.lift += other.lift
        self.compared += other.compared

    def add(self, record: PairRecord, *, lifted: bool) -> None:
        from dgunet.data.store.pair_store import digest_line

        degraded, clean = record.input, record.target
        self.lines.append(digest_line(record.id, degraded, clean))
        self.names.add(record.id)
        height, width, _ = record.shape
        self.sizes[f"{width}x{height}"] += 1
        if lifted and degraded is not None and clean is not None:
            self.lift += float(degraded.mean() - clean.mean())
            self.compared += 1


def _shard(store: PairStore, number: int) -> _Part:
    """Hash one file, then its records while it is in memory."""
    shard = store.manifest.shards[number]
    path = store.folder / shard.file
    if files.sha256_file(path) != shard.sha256:
        raise DataError(f"{path} is not what was prepared: its SHA-256 differs.", AGAIN)
    part = _Part()
    info = (CATALOGUE | FURTHER).get(store.manifest.dataset)
    lifted = store.manifest.complete and info is not None and info.input_lift is not None
    try:
        for record in store.records_of(number):
            part.add(record, lifted=lifted)
    except DgunetError:
        raise
    except Exception as error:  # Arrow and NumPy raise what a mangled record leads them to
        raise DataError(f"{path} is damaged ({shorten(str(error))}).", AGAIN) from error
    if len(part.lines) != shard.records:
        raise DataError(f"{path} holds {len(part.lines)} records, not {shard.records}.", AGAIN)
    return part


def _refuse_another_release(manifest: StoreManifest, whole: _Part, path: Path) -> None:
    """What preparation looked at before it called a set complete, looked at again."""
    from dgunet.data.store.preparation_recipes import Whole
    from dgunet.data.store.releases import Seen, doubts

    info = (CATALOGUE | FURTHER)[manifest.dataset]
    way = _way(manifest, info)
    if not isinstance(way.cut, Whole) or way.luma != "file":
        return
    lift = whole.lift / whole.compared if whole.compared else None
    found = doubts(info, Seen(manifest.count, manifest.digest, whole.sizes, input_lift=lift))
    if found:
        raise DataError(f"{path}: complete is true, and it is not: {found[0]}.", AGAIN)


def _way(manifest: StoreManifest, info: DatasetInfo) -> Recipe:
    from dgunet.data.store.preparation_recipes import recipe

    return recipe(info, cast("RecipeName", manifest.recipe))  # an unknown one is refused there
