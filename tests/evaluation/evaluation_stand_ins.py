"""Stores, networks and images small enough to compute in milliseconds."""

from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from dgunet.evaluation.image_steps import Settings
from dgunet.evaluation.runner import evaluation_key, merge_rows, score_shard
from dgunet.evaluation.unfinished import WORK, alone, lock_of, place_of


@dataclass
class MemoryStore:
    """A prepared dataset in memory, with the attributes that the runner reads."""

    records: list
    task: str = "derain"
    dataset: str = "Rain100L"
    published_count: int | None = None
    complete: bool = True
    reads: list = field(default_factory=list)

    @property
    def manifest(self):
        return SimpleNamespace(
            dataset=self.dataset,
            task=self.task,
            role="test",
            profile="sample",
            digest="d" * 64,
            count=len(self.records),
            published_count=self.published_count or len(self.records),
            complete=self.complete,
            protocol="rain-y",
        )

    def __len__(self):
        return len(self.records)

    def __getitem__(self, index):
        self.reads.append(index)
        return self.records[index]


class Smooth(nn.Module):
    """A two-stage network stand-in with one parameter: a box blur, applied once and twice."""

    def __init__(self, channels=3):
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels, 1, 3, 3), 1 / 9))

    def forward(self, y):
        first = self.blur(y)
        return [first, self.blur(first)]

    def blur(self, image):
        framed = nn.functional.pad(image, (1, 1, 1, 1), mode="replicate")
        return nn.functional.conv2d(framed, self.weight, groups=image.shape[1])


def pair(seed, height=24, width=32, channels=3):
    """A smooth uint8 image and a noisy version of it."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width] / 24.0
    waves = [np.sin(rows * (c + 1) + seed) * np.cos(columns * (c + 2)) for c in range(channels)]
    target = np.clip(128 + 90 * np.stack(waves, -1), 0, 255).astype(np.uint8)
    noisy = np.clip(target + rng.normal(0, 20, target.shape), 0, 255).astype(np.uint8)
    return noisy, target


def photo(height=24, width=32, channels=3):
    """A smooth uint8 image."""
    return pair(1, height, width, channels)[1]


def noise(depth, channels, height=21, width=34, seed=0):
    """Random pixels of 8 or 16 bits, (H, W, C)."""
    kind = np.uint8 if depth == 8 else np.uint16
    rng = np.random.default_rng(seed)
    return rng.integers(0, 2**depth, (height, width, channels), dtype=kind)


def records(count, **shape):
    made = []
    for seed in range(count):
        noisy, target = pair(seed, **shape)
        made.append(SimpleNamespace(id=f"{seed + 1}", input=noisy, target=target))
    return made


def box_store(images=2, boxes=20):
    """A small DND: floating-point boxes without targets."""
    rng = np.random.default_rng(0)
    made = [
        SimpleNamespace(
            id=f"{image + 1:04d}_{box + 1:02d}",
            input=rng.random((4, 4 + box, 3), dtype=np.float32),
            target=None,
        )
        for image in range(images)
        for box in range(boxes)
    ]
    return MemoryStore(made, dataset="DND", task="denoise")


def unfinished(out):
    """The folder of unfinished evaluations, next to ``out``."""
    return out.parent / f"{out.name}-unfinished"


def place_for(store, protocol, out, settings):
    """Where an evaluation is made."""
    return place_of(unfinished(out), "Rain100L-DGUNet", evaluation_key(store, protocol, settings))


def work_of(store, protocol, out, settings):
    """The folder of an unfinished evaluation."""
    return place_for(store, protocol, out, settings) / WORK


@contextmanager
def locked(store, protocol, out, settings):
    """Lock results and work as `LoadedEvaluation.alone`; gives the folder of the work."""
    place = place_for(store, protocol, out, settings)
    with alone(lock_of(unfinished(out), "Rain100L-DGUNet", out), out), alone(place, out):
        yield place / WORK


def evaluate_with_timings(
    network, store, protocol, out, *, on_row=None, note=lambda line: None, **settings
):
    """Score every image of ``store`` into ``out``; gives the summary and the timings."""
    settings = Settings(**{"row": settings.get("variant", "DGUNet")} | settings)
    with locked(store, protocol, out, settings) as work:
        score_shard(network, store, protocol, work, settings, on_row=on_row, note=note)
        return merge_rows(store, protocol, work, out, settings)


def evaluate_store(*arguments, **settings):
    """As `evaluate_with_timings`, without the timings."""
    return evaluate_with_timings(*arguments, **settings)[0]


def score_rows(network, store, protocol, out, settings, shard=(0, 1)):
    """Score a shard without merging its rows, as an evaluation that is killed."""
    with locked(store, protocol, out, settings) as work:
        score_shard(network, store, protocol, work, settings, shard=shard)


def merge(store, protocol, out, settings):
    """Merge the rows of all shards; gives the summary."""
    with locked(store, protocol, out, settings) as work:
        return merge_rows(store, protocol, work, out, settings)[0]
