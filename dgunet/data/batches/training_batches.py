"""Training batches: random crops from a store, a pure function of seed and step."""

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
"""Separate the random streams of epoch orders and of samples."""


class TrainingBatches:
    """Batches of random crops, a pure function of (seed, step).

    An epoch contains every record once, or ``crops`` times, in random order. Sample j of step t is
    number t * batch + j in the sequence of all epochs; its crop and its augmentation are drawn from
    a generator of its own. Training can therefore resume at any step, and any worker can make any
    batch.

    Args:
        store: a prepared training set, or several joined. One without degraded images
            (compressive sensing) gives the clean patch twice.
        patch: side of the square crop in pixels; smaller images are first padded by reflection at
            the right and bottom.
        batch: samples per step.
        seed: seed of the training run.
        augment: augmentation of a patch pair, see `dgunet.data.batches.augment`; None for none.
        records: indices of the store's records to draw from; None for all of them.
        crops: crops of every record in an epoch, at independent positions.
        workers: threads that prepare the next step's samples while the caller uses this one's; 0
            makes every sample on request. The samples do not depend on it.

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
        self._prefetcher = SamplePrefetcher(self._tensors, workers)

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """Batch number ``step`` from 0: (input, target), float32 (B, C, H, W) in [0, 1]."""
        return self.part(step, range(self.batch))

    def part(self, step: int, places: Sequence[int]) -> tuple[Tensor, Tensor]:
        """As `__call__`, but only the samples at ``places`` (positions in the batch), in order."""
        samples = self._prefetcher.take(step, places)
        return torch.stack([pair[0] for pair in samples]), torch.stack(
            [pair[1] for pair in samples]
        )

    def ids(self, step: int) -> list[str]:
        """Ids of the records in batch ``step``, by position."""
        numbers = (step * self.batch + position for position in range(self.batch))
        return [self.store[self._index(number)].id for number in numbers]

    def sample(self, step: int, position: int) -> tuple[Pixels, Pixels]:
        """Sample ``position`` of batch ``step``: (input, target), H x W x C as stored."""
        record = self.store[self._index(step * self.batch + position)]
        key = np.array([_SAMPLE, self.seed, step, position], np.uint32)  # an array is faster
        generator = np.random.default_rng(key)
        height, width, _ = record.shape
        top = int(generator.integers(max(height - self.patch, 0) + 1))
        left = int(generator.integers(max(width - self.patch, 0) + 1))
        pair = record.crop(top, left, self.patch, self.patch)
        degraded = None if pair.input is None else self._filled(pair.input)
        clean = self._filled(pair.target)
        if self.augment:
            degraded, clean = self.augment(degraded, clean, generator)
        return (clean if degraded is None else degraded), clean

    def _tensors(self, step: int, positions: Sequence[int]) -> list[tuple[Tensor, Tensor]]:
        pairs = [self.sample(step, position) for position in positions]
        targets = as_tensor([clean for _, clean in pairs])
        if all(degraded is clean for degraded, clean in pairs):
            return list(zip(targets, targets, strict=True))
        return list(zip(as_tensor([degraded for degraded, _ in pairs]), targets, strict=True))

    def _filled(self, patch: Any) -> Pixels:
        below, right = self.patch - patch.shape[0], self.patch - patch.shape[1]
        if below or right:
            patch = np.pad(patch, ((0, below), (0, right), (0, 0)), mode="reflect")
        filled: Pixels = patch
        return filled

    def _index(self, number: int) -> int:
        count = len(self._records)
        epoch, position = divmod(number, count * self._crops)
        known = self._epoch  # read once, because another thread may be in another epoch
        if known[0] != epoch:
            generator = np.random.default_rng([_ORDER, self.seed, epoch])
            order = generator.permutation(count * self._crops) % count
            known = self._epoch = (epoch, self._records[order])
        return int(known[1][position])


T = TypeVar("T")


class SamplePrefetcher(Generic[T]):
    """Preparation of the next step's samples in advance, at the positions of the current step.

    Samples are kept until the caller goes on to another step, so that a sample that is requested
    twice is made once. At most the samples of two steps are kept. A thread makes its share of the
    samples in one go: for small patches, one task for each sample costs as much as the sample.

    Args:
        make: returns the samples of a step at positions; a pure, thread-safe function.
        workers: number of threads; 0 makes every sample on request.
    """

    def __init__(self, make: Callable[[int, Sequence[int]], Sequence[T]], workers: int) -> None:
        self._make, self._workers = make, workers
        self._pool = ThreadPoolExecutor(workers, "samples") if workers else None
        self._made: dict[tuple[int, int], tuple[Future[Sequence[T]], int]] = {}

    def take(self, step: int, positions: Sequence[int]) -> list[T]:
        """Samples of ``step`` at ``positions``, in that order; raises what ``make`` raises."""
        if self._pool is None:
            return list(self._make(step, positions))
        for key in [key for key in self._made if key[0] not in (step, step + 1)]:
            self._made.pop(key)[0].cancel()
        self._begin(step, positions)
        shares = [self._made[step, position] for position in positions]
        samples = [share.result()[place] for share, place in shares]
        self._begin(step + 1, positions)
        return samples

    def _begin(self, step: int, positions: Sequence[int]) -> None:
        assert self._pool is not None
        missing = [position for position in positions if (step, position) not in self._made]
        size = -(-len(missing) // self._workers)
        for begin in range(0, len(missing), size or 1):
            share = missing[begin : begin + size]
            future = self._pool.submit(self._make, step, share)
            for place, position in enumerate(share):
                self._made[step, position] = (future, place)


def as_tensor(patches: list[Pixels]) -> Tensor:
    """Convert images of one size, H x W x C as stored, to float32 (B, C, H, W) in [0, 1]."""
    height, width, channels = patches[0].shape
    batch = np.empty((len(patches), channels, height, width), np.float32)
    for slot, patch in zip(batch, patches, strict=True):
        # One pass takes a third of the time of a copy and a conversion.
        np.divide(patch.transpose(2, 0, 1), np.float32(255 if patch.dtype == np.uint8 else 1), slot)
    return torch.from_numpy(batch)
