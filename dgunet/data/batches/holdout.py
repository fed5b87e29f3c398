"""Part of a training set kept apart, to see during training how good the network is on others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from dgunet.data.batches.joined_store import Store
from dgunet.data.batches.training_batches import as_tensor
from dgunet.data.readers.images import Pixels
from dgunet.data.store.pair_store import PairRecord
from dgunet.system.errors import DataError

_HELD = 4
"""Keeps this stream apart from those of orders, samples and MixUp."""


def hold_out(store: Store, fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Numbers of the records to train on, and of those held out.

    Whole photographs are held out: no clean picture is on both sides, however many degraded
    versions or patches of it the store has; nor is a clip of GoPro, whose frames resemble each
    other. At least one photograph is held out. The seed and the photographs decide, not their
    order in the store.

    Args:
        store: a prepared training set.
        fraction: of the photographs, 0 < fraction < 1.
        seed: of the training run.

    Raises:
        DataError: if no photograph would be left to train on.
    """
    sources = [_photograph(store[index], store.manifest.task) for index in range(len(store))]
    known = sorted(set(sources))
    count = max(1, round(fraction * len(known)))
    if count >= len(known):
        raise DataError(
            f"{store.folder} has {len(known)} photographs; {fraction:g} of them held out for "
            "validation leaves none to train on.",
            "Lower validation.fraction, or leave the validation out.",
        )
    order = np.random.default_rng([_HELD, seed]).permutation(len(known))
    held = {known[place] for place in order[:count]}
    sides: tuple[list[int], list[int]] = ([], [])
    for index, source in enumerate(sources):
        sides[source in held].append(index)
    return sides


def _photograph(record: PairRecord, task: str) -> str:
    if task == "deblur":
        return record.id.rpartition("-")[0]  # <clip>-<frame>
    return record.target_source.sha256 if record.target_source else record.id


class Pictures:
    """Pairs of a store to validate on, (input, target) by number, float32 (C, H, W) in [0, 1].

    Args:
        store: a prepared set with clean pictures.
        records: their numbers in the store.
        crop: side of the square that is cut from the middle; 0, or a larger one than the picture,
            leaves the picture whole.

    Raises:
        DataError: if the store has no clean pictures.
    """

    def __init__(self, store: Store, records: Sequence[int], crop: int) -> None:
        if not len(store) or store[0].target is None:
            raise DataError(
                f"{store.folder} holds no clean images to validate on.", "Use another set."
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
