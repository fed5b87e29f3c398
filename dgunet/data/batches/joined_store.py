"""Several prepared training sets read as one, such as BSD400 beside DIV2K."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from dgunet.data.store.manifest import StoreManifest
from dgunet.data.store.pair_store import PairRecord, PairStore
from dgunet.system import files
from dgunet.system.errors import DataError


class JoinedStore:
    """The records of several stores, one store after the other; read as a `PairStore` is.

    The stores may differ in layout and in the type of their pixels. The manifest's digest is over
    the digests of all, in their order; its dataset names them with a plus between.

    Raises:
        DataError: if the stores are not of one task, or not of one profile, or a set is there
            twice.
    """

    def __init__(self, stores: Sequence[PairStore]) -> None:
        self._stores = list(stores)
        self._ends = np.cumsum([len(store) for store in stores])
        self.manifest = _joined(self._stores)

    @classmethod
    def open(cls, folders: Sequence[Path]) -> PairStore | JoinedStore:
        """The stores in ``folders`` as one; a single one as it is.

        Raises:
            DataError: if one is missing or damaged, or they do not go together.
        """
        stores = [PairStore.open(folder) for folder in folders]
        return stores[0] if len(stores) == 1 else cls(stores)

    @property
    def folder(self) -> Path:
        """Of the first store, for messages."""
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
"""What batches and held-out parts are taken from."""


def _joined(stores: Sequence[PairStore]) -> StoreManifest:
    manifests = [store.manifest for store in stores]
    first = manifests[0]
    for store in stores[1:]:
        for field in ("task", "profile"):
            ours, theirs = getattr(first, field), getattr(store.manifest, field)
            if ours != theirs:
                raise DataError(
                    f"{store.folder} is for {field} {theirs!r}, {stores[0].folder} for {ours!r}.",
                    "Join sets of one task and one profile.",
                )
    names = [manifest.dataset for manifest in manifests]
    if len(set(names)) < len(names):
        raise DataError(f"a set is there twice: {', '.join(names)}.", "Name every set once.")
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
