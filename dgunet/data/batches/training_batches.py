"""Training batches: random crops from a store, the same for a seed and a step whoever asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from dgunet.data.batches.augment import Augmentation, eight_symmetries
from dgunet.data.batches.joined_store import Store
from dgunet.data.readers.images import Pixels
from dgunet.system.errors import DataError

_ORDER, _SAMPLE = 1, 2
"""Keep the streams of epoch orders and of samples apart."""


class TrainingBatches:
    """Batches of random crops, a pure function of (seed, step).

    Photographs come in epochs, each once, or ``crops`` times in a random order. Sample j of step t
    is number t * batch + j of that endless sequence, and a generator of its own draws its crop and
    its augmentation. So training can resume at any step, and any worker can make any batch.

    Args:
        store: a prepared training set, or several joined. One without degraded images
            (compressive sensing) gives the clean patch twice.
        patch: side of the square crop in pixels; smaller images are mirrored at the right and
            bottom first.
        batch: samples a step.
        seed: of the training run.
        augment: what is done to a patch pair, see `dgunet.data.batches.augment`; None is nothing.
        records: numbers of the store's records to draw from; all of them without it.
        crops: how often an epoch has each record, at places of their own.
        workers: threads that make the next step's samples while the caller uses this one's; 0
            makes every sample when it is asked for. The samples are the same.

    Raises:
        DataError: if the store is empty or has no clean images.
    """

    def __init__(
        self,
        store: Store,
        *,
        patch: int,
        batch: int,
        seed: int,
        augment: Augmentation | None = eight_symmetries,
        records: Sequence[int] | None = None,
        crops: int = 1,
        workers: int = 2,
    ) -> None:
        if not len(store) or store[0].target is None:
            raise DataError(
                f"{store.folder} holds no clean images to train on.", "Use a training set."
            )
        self.store = store
        self.patch = patch
        self.batch = batch
        self.seed = seed
        self.augment = augment
        self._records = np.asarray(range(len(store)) if records is None else records, np.int64)
        self._crops = crops
        self._epoch = (-1, np.empty(0, np.int64))
        self._ahead = Ahead(self._ready, workers)

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """Batch number ``step`` from 0: (input, target), float32 (B, C, H, W) in [0, 1]."""
        return self.part(step, range(self.batch))

    def part(self, step: int, places: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Only the samples at ``places`` of batch ``step``, in that order, as `__call__`."""
        samples = self._ahead.take(step, places)
        return torch.stack([pair[0] for pair in samples]), torch.stack(
            [pair[1] for pair in samples]
        )

    def ids(self, step: int) -> list[str]:
        """The store's ids of the photographs in batch ``step``, by place."""
        places = (step * self.batch + place for place in range(self.batch))
        return [self.store[self._index(position)].id for position in places]

    def sample(self, step: int, place: int) -> tuple[Pixels, Pixels]:
        """Patch ``place`` of batch ``step``: (input, target), H x W x C as stored."""
        record = self.store[self._index(step * self.batch + place)]
        generator = np.random.default_rng([_SAMPLE, self.seed, step, place])
        height, width, _ = record.shape
        top = int(generator.integers(max(height - self.patch, 0) + 1))
        left = int(generator.integers(max(width - self.patch, 0) + 1))
        pair = record.crop(top, left, self.patch, self.patch)
        degraded = None if pair.input is None else self._filled(pair.input)
        clean = self._filled(pair.target)
        if self.augment:
            degraded, clean = self.augment(degraded, clean, generator)
        return (clean if degraded is None else degraded), clean

    def _ready(self, step: int, place: int) -> tuple[Tensor, Tensor]:
        degraded, clean = self.sample(step, place)
        target = as_tensor([clean])[0]
        return (target if degraded is clean else as_tensor([degraded])[0]), target

    def _filled(self, patch: Any) -> Pixels:
        below, right = self.patch - patch.shape[0], self.patch - patch.shape[1]
        if below or right:
            patch = np.pad(patch, ((0, below), (0, right), (0, 0)), mode="reflect")
        filled: Pixels = patch
        return filled

    def _index(self, position: int) -> int:
        count = len(self._records)
        epoch, place = divmod(position, count * self._crops)
        known = self._epoch  # as one, because another thread may be in another epoch
        if known[0] != epoch:
            generator = np.random.default_rng([_ORDER, self.seed, epoch])
            order = generator.permutation(count * self._crops) % count
            known = self._epoch = (epoch, self._records[order])
        return int(known[1][place])


T = TypeVar("T")


class Ahead(Generic[T]):
    """Samples made before they are asked for: those of the next step, at the places of this one.

    What was made is kept until the caller goes on to another step, so that a sample that is asked
    for twice is made once. No more than the samples of two steps are kept.

    Args:
        make: gives the sample of a step and a place; a pure function that threads may call.
        workers: how many threads; 0 makes every sample when it is asked for.
    """

    def __init__(self, make: Callable[[int, int], T], workers: int) -> None:
        self._make = make
        self._pool = ThreadPoolExecutor(workers, "samples") if workers else None
        self._made: dict[tuple[int, int], Future[T]] = {}

    def take(self, step: int, places: Sequence[int]) -> list[T]:
        """The samples of ``step`` at ``places``, in that order; raises what making them raises."""
        if self._pool is None:
            return [self._make(step, place) for place in places]
        for key in [key for key in self._made if key[0] not in (step, step + 1)]:
            self._made.pop(key).cancel()
        self._begin(step, places)
        samples = [self._made[step, place].result() for place in places]
        self._begin(step + 1, places)
        return samples

    def _begin(self, step: int, places: Sequence[int]) -> None:
        assert self._pool is not None
        for place in places:
            if (step, place) not in self._made:
                self._made[step, place] = self._pool.submit(self._make, step, place)


def as_tensor(patches: list[Pixels]) -> Tensor:
    """Images of one size, H x W x C as stored, as float32 (B, C, H, W) in [0, 1]."""
    height, width, channels = patches[0].shape
    batch = np.empty((len(patches), channels, height, width), np.float32)
    for place, patch in zip(batch, patches, strict=True):
        # One pass instead of a copy and a conversion: a third of the time.
        np.divide(
            patch.transpose(2, 0, 1), np.float32(255 if patch.dtype == np.uint8 else 1), place
        )
    return torch.from_numpy(batch)
