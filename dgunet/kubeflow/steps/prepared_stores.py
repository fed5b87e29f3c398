"""Prepared stores between the steps of a pipeline: as artifacts, or in a folder on a volume.

Where the steps share a folder for stores (``DGUNET_STORES``), the artifact of a preparation has
two small files, the store's ``manifest.json`` and ``place.json``. In that folder are:

DATASET-DIGEST/          complete stores, named by the SHA-256 of their manifest, which contains
                         those of their files: equal stores are one, whichever run prepared them
.preparing/KEY/          a preparation that is running, or was killed and can be continued
.preparing/KEY.json      the name of the store that the last preparation KEY made
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from dgunet.costs.storage import prepared_bytes
from dgunet.data.store.manifest import LayoutName, StoreManifest
from dgunet.data.store.pair_store import PairStore
from dgunet.steps.prepare import prepare_store
from dgunet.system import environment, files
from dgunet.system.errors import DataError
from dgunet.system.reading import read_mapping
from dgunet.system.safe_paths import safe_file_name
from dgunet.terms import Profile
from dgunet.tracking.reports.progress import show_verification

LARGE = 10**9
"""Bytes of a raw store from which a pipeline writes it compact."""

MANIFEST, PLACE = "manifest.json", "place.json"

AGAIN = (
    "Prepare it again: submit once with `cache: false` for the step prepare in the cluster file."
)

logger = logging.getLogger(__name__)


def store_layout(profile: Profile, dataset: str) -> LayoutName:
    """The layout in which pipelines prepare a dataset; it changes no pixel and no digest.

    Large stores are compact, which takes 0.34 to 0.75 of their space. Training then spends 8 to 11
    ms of CPU time on each sample instead of 3, which the CPUs beside a GPU hide. Small stores, and
    those of the sample, are raw.
    """
    if profile == "sample" or prepared_bytes(dataset) < LARGE:
        return "raw"
    return "compact"


def prepare_shared(
    profile: Profile, dataset: str, *, root: Path, artifact: Path, version: tuple[str, ...]
) -> StoreManifest:
    """Prepare a dataset, in the folder for stores if there is one, else in ``artifact``.

    Args:
        profile: ``sample`` or ``paper``.
        dataset: a catalogue name.
        root: the folder of the official trees.
        artifact: the output of the step.
        version: what identifies the data and the code; a preparation of the same version that is
            already running is waited for.

    Raises:
        DataError: as `prepare_store`.
        DgunetError: if the disk is full or the folder not writable.
    """
    layout = store_layout(profile, dataset)

    def prepare(out: Path) -> StoreManifest:
        return prepare_store(profile, dataset, root=root, out=out, layout=layout)

    folder = environment.STORES.get()
    if folder is None:
        return prepare(artifact)
    key = f"{dataset}-{files.sha256_json([profile, layout, *version])[:16]}"
    store = StoresFolder(folder).prepare(key, prepare)
    content = (store / MANIFEST).read_bytes()
    files.write_bytes(artifact / MANIFEST, content)
    files.write_json(artifact / PLACE, {"store": store.name})
    return StoreManifest.read(store)


def find_store(artifact: Path) -> Path:
    """The folder of a prepared store, verified: ``artifact`` itself, or that on the volume.

    Args:
        artifact: the input of a step, an output of the step ``prepare``.

    Raises:
        DataError: if the store is not on the volume any more, if it is not the one that was
            prepared, or if its files have changed; the message says how to prepare it again.
    """
    if not (artifact / PLACE).is_file():
        return artifact
    # The artifact has no seal; its manifest must be that of the sealed store, see below.
    manifest, name = StoreManifest.read(artifact, sealed=False), _named(artifact / PLACE)
    folder = environment.STORES.get()
    if folder is None or not folder.is_dir():
        raise DataError(
            f"the prepared {manifest.dataset} is on a volume, in the folder {name}, but this step"
            f" has {'no folder for stores' if folder is None else f'no folder {folder}'}.",
            "Set stores: in the cluster file to a folder on one of its volumes (DGUNET_STORES).",
        )
    if not (folder / name).is_dir():
        raise DataError(
            f"{folder} has no folder {name} any more: the prepared {manifest.dataset} was deleted"
            " from the volume, but its preparation was taken from the cache.",
            AGAIN,
        )
    show_verification()
    try:
        PairStore.open(folder / name)
    except DataError as error:
        raise DataError(error.message, AGAIN) from error
    if (folder / name / MANIFEST).read_bytes() != (artifact / MANIFEST).read_bytes():
        raise DataError(
            f"{folder / name} is not the {manifest.dataset} that was prepared: its {MANIFEST} is"
            " another one.",
            AGAIN,
        )
    return folder / name


class StoresFolder:
    """A folder of complete stores on a volume, for any number of runs at the same time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def place(self, store: Path) -> Path:
        """The folder here of a store with the manifest of ``store``."""
        digest = files.sha256_file(store / MANIFEST)
        return self.folder / f"{StoreManifest.read(store).dataset}-{digest[:32]}"

    def prepare(self, key: str, make: Callable[[Path], StoreManifest]) -> Path:
        """The store that ``make`` writes to the folder that it is given.

        Processes with the same ``key`` follow each other; one that had to wait takes the store
        that the other one made. A killed preparation is continued by the next one.

        Raises:
            DgunetError: as ``make``; if the volume is full, read-only or missing.
        """
        work = self.folder / ".preparing" / key
        with files.writing(self.folder):
            work.parent.mkdir(parents=True, exist_ok=True)
        note = work.with_name(f"{key}.json")
        with _alone(work) as (own, waited):
            if waited and (made := self._noted(note)):
                return made
            make(own / "store")
            place = self.keep(own / "store")
            files.write_json(note, {"store": place.name})
            shutil.rmtree(own, ignore_errors=True)
        return place

    def _noted(self, note: Path) -> Path | None:
        try:
            return PairStore.open(self.folder / _named(note)).folder
        except (DataError, FileNotFoundError):
            return None

    def keep(self, store: Path) -> Path:
        """Move a complete store on the same volume to its place, unless an equal one is there."""
        place = self.place(store)
        if not _is_whole(place, store):
            with files.atomic_folder(place) as partial:
                for path in store.iterdir():
                    path.rename(partial / path.name)
        return place

    def copy(self, store: Path) -> Path:
        """Copy a complete store from elsewhere to its place, unless an equal one is there.

        Raises:
            DataError: if ``store`` is not a prepared dataset.
            DgunetError: if the volume is full, read-only or missing.
        """
        PairStore.open(store)
        place = self.place(store)
        if not _is_whole(place, store):
            with files.atomic_folder(place) as partial:
                shutil.copytree(store, partial, dirs_exist_ok=True)
        return place


def _named(path: Path) -> str:
    """The name of a store's folder in a file that `prepare_shared` or `StoresFolder` wrote."""
    return safe_file_name(str(read_mapping(path).get("store")), origin=str(path))


def _is_whole(place: Path, store: Path) -> bool:
    """Whether ``place`` has all files of ``store``, undamaged."""
    try:
        PairStore.open(place)
        return (place / MANIFEST).read_bytes() == (store / MANIFEST).read_bytes()
    except (DataError, FileNotFoundError):
        return False


@contextmanager
def _alone(work: Path) -> Iterator[tuple[Path, bool]]:
    """A folder that no other process uses, and whether this one had to wait for it.

    On a file system without locks the folder is a new one, which no later process continues.
    """
    lock, waited = FileLock(work.with_name(f"{work.name}.lock")), False
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            waited = True
            logger.warning("another step is preparing %s; waiting for it", work.name)
            lock.acquire()
    except NotImplementedError:
        with files.partial_folder(work) as own:
            yield own, False
        return
    try:
        yield work, waited
    finally:
        lock.release()
