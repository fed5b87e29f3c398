"""Several prepared training sets read as one, such as BSD400 and DIV2K."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from dgunet.data.store.manifest import StoreManifest
from dgunet.data.store.pair_store import PairStore
from dgunet.data.store.records import PairRecord
from dgunet.system import files
from dgunet.system.errors import DataError


class JoinedStore:
    """The records of several stores, one store after the other, with the interface of `PairStore`.

    The stores may differ in layout and pixel type. The manifest's digest is computed from the
    digests of all stores in their order; its dataset joins their names with a plus sign.

    Raises:
        DataError: if the stores differ in task or profile, or a dataset occurs twice.
    """

    def __init__(self, stores: Sequence[PairStore]) -> None:
        self._stores = list(stores)
        self._ends = np.cumsum([len(store) for store in stores])
        self.manifest = _joined(self._stores)

    @classmethod
    def open(cls, folders: Sequence[Path]) -> PairStore | JoinedStore:
        """Open the stores in ``folders`` as one; a single store is returned unchanged.

        Raises:
            DataError: if a store is missing or damaged, or the stores cannot be joined.
        """
        stores = [PairStore.open(folder) for folder in folders]
        return stores[0] if len(stores) == 1 else cls(stores)

    @property
    def folder(self) -> Path:
        """Folder of the first store, for messages."""
        return self._stores[0].folder

    def __len__(self) -> int:
        return self.manifest.count

    def __getitem__(self, index: int) -> PairRecord:
        if not 0 <= index < len(self):
            raise IndexError(f"record {index} of stores with {len(self)}")
        number = int(np.searchsorted(self._ends, index, side="right"))
        start = int(self._ends[number - 1]) if number else 0
        return self._stores[number][index - start]


Store = PairStore | JoinedStore
"""Source of training batches and held-out pairs."""


def _joined(stores: Sequence[PairStore]) -> StoreManifest:
    manifests = [store.manifest for store in stores]
    first = manifests[0]
    for store in stores[1:]:
        for field in ("task", "profile"):
            ours, theirs = getattr(first, field), getattr(store.manifest, field)
            if ours != theirs:
                raise DataError(
                    f"{store.folder} has {field} {theirs!r}, {stores[0].folder} has {ours!r}.",
                    "Join datasets of one task and one profile.",
                )
    names = [manifest.dataset for manifest in manifests]
    if len(set(names)) < len(names):
        raise DataError(f"a dataset occurs twice: {', '.join(names)}.", "Name every dataset once.")
    recipes = dict.fromkeys(manifest.recipe for manifest in manifests)
    return replace(
        first,
        dataset="+".join(names),
        digest=files.sha256_json([manifest.digest for manifest in manifests]),
        count=sum(manifest.count for manifest in manifests),
        published_count=sum(manifest.published_count for manifest in manifests),
        complete=all(manifest.complete for manifest in manifests),
        recipe="+".join(recipes),
        shards=(),
    )
