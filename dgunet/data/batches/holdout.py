"""Held-out part of a training set, for validation during training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from dgunet.data.batches.joined_store import Store
from dgunet.data.batches.training_batches import as_tensor
from dgunet.data.readers.images import Pixels
from dgunet.data.store.records import PairRecord
from dgunet.system.errors import DataError

_HELD = 4
"""Separates this random stream from those of orders, samples and MixUp."""


def hold_out(store: Store, fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Split a store into indices of training records and of held-out records.

    Whole photographs are held out: no clean image is on both sides, however many degraded versions
    or patches of it the store has. For GoPro, whose frames resemble each other, whole clips are
    held out. At least one photograph is held out. The split depends on the seed and on the
    photographs, not on their order in the store.

    Args:
        store: a prepared training set.
        fraction: share of the photographs to hold out, 0 < fraction < 1.
        seed: seed of the training run.

    Raises:
        DataError: if no photograph would be left to train on.
    """
    sources = [_photograph(store[index], store.manifest.task) for index in range(len(store))]
    known = sorted(set(sources))
    count = max(1, round(fraction * len(known)))
    if count >= len(known):
        raise DataError(
            f"{store.folder} has {len(known)} photographs; holding out {fraction:g} of them for "
            "validation leaves none to train on.",
            "Lower validation.fraction, or disable validation.",
        )
    order = np.random.default_rng([_HELD, seed]).permutation(len(known))
    held = {known[position] for position in order[:count]}
    sides: tuple[list[int], list[int]] = ([], [])
    for index, source in enumerate(sources):
        sides[source in held].append(index)
    return sides


def _photograph(record: PairRecord, task: str) -> str:
    if task == "deblur":
        return record.id.rpartition("-")[0]  # <clip>-<frame>
    return record.target_source.sha256 if record.target_source else record.id


class ValidationPairs:
    """Validation pairs of a store: (input, target) by index, float32 (C, H, W) in [0, 1].

    Args:
        store: a prepared dataset with clean images.
        records: indices of the pairs in the store.
        crop: side of the square that is cut from the centre, in pixels; 0 keeps the whole image,
            and so does a dimension that is smaller than the crop.

    Raises:
        DataError: if the store has no clean images.
    """

    def __init__(self, store: Store, records: Sequence[int], crop: int) -> None:
        if not len(store) or store[0].target is None:
            raise DataError(
                f"{store.folder} holds no clean images to validate on.", "Use another dataset."
            )
        self._store, self._records, self._crop = store, list(records), crop

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        record = self._store[self._records[number]]
        height, width, _ = record.shape
        rows, columns = min(self._crop or height, height), min(self._crop or width, width)
        pair = record.crop((height - rows) // 2, (width - columns) // 2, rows, columns)
        clean: Pixels | None = pair.target
        assert clean is not None
        degraded = clean if pair.input is None else pair.input
        return as_tensor([degraded])[0], as_tensor([clean])[0]
