"""Random 256x256 crops of a pair: from the prepared store, and from PNG files the usual way.

    python benchmarks/store_crops.py [--out benchmarks/results/store_crops.json]

The usual way decodes both photographs and crops them. The raw store maps the pixels and copies the
crop; the compact store decodes the tiles that the crop touches. All give uint8 patches and are
checked to give the same ones. Rates are pairs per second of process CPU time on one core, the best
of several alternating rounds with all files in the page cache. Sources are photographs enlarged to
the sizes of GoPro and SIDD with sensor noise (0.5 % of white in the clean image, 5 % in the other),
so that they compress no better than a camera's; the noise of the colours is independent, the worst
case of the compact layout. Memory is what 2,000 crops add to the process beyond shared, mapped
pages. Training samples are measured too: pairs that one worker crops, augments and converts to
float tensors.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import psutil
import torch
from PIL import Image

from dgunet.data.batches.training_batches import TrainingBatches
from dgunet.data.sample.degrade import add_sensor_noise
from dgunet.data.sample.photographs import photographs
from dgunet.data.store.pair_store import PairStore
from dgunet.data.store.prepare import prepare_dataset

PATCH = 256
SOURCES = {"GoPro, 1280x720": ((720, 1280), 6), "SIDD, 5328x3000": ((3000, 5328), 2)}
"""Sizes as (rows, columns), and the number of pairs."""


def make_pairs(folder: Path, size: tuple[int, int], count: int) -> None:
    """Write ``count`` PNG pairs in the tree of Rain13K."""
    rng = np.random.default_rng(0)
    names = ["coffee", "rocket", "hubble", "retina", "astronaut", "chelsea"]
    for number, photograph in enumerate(photographs(*names[:count]), start=1):
        clean = cv2.resize(photograph.pixels(), size[::-1], interpolation=cv2.INTER_CUBIC)
        clean = clean.clip(0, 1)
        for half, noise in (("target", 2.5e-5), ("input", 2.5e-3)):
            path = folder / "Rain13K" / half / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            noisy = add_sensor_noise(clean, 0.0, noise, rng)
            Image.fromarray(np.rint(noisy * 255).astype(np.uint8)).save(path)


def decode_with_pillow(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def decode_with_opencv(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)


def readers(
    root: Path, store: PairStore, compact: PairStore
) -> dict[str, Callable[[int, int, int], list[np.ndarray]]]:
    """Ways to read a pair of patches: functions of (pair, top, left)."""

    def stored(store: PairStore) -> Callable[..., list[np.ndarray]]:
        def cut(index: int, top: int, left: int) -> list[np.ndarray]:
            pair = store[index].crop(top, left, PATCH, PATCH)
            return [np.ascontiguousarray(pair.input), np.ascontiguousarray(pair.target)]

        return cut

    def decoding(decode: Callable[[Path], np.ndarray]) -> Callable[..., list[np.ndarray]]:
        def cut(index: int, top: int, left: int) -> list[np.ndarray]:
            record = store[index]
            sources = (record.input_source, record.target_source)
            images = [decode(root / source.file) for source in sources]
            return [image[top : top + PATCH, left : left + PATCH].copy() for image in images]

        return cut

    return {
        "store": stored(store),
        "compact": stored(compact),
        "Pillow": decoding(decode_with_pillow),
        "OpenCV": decoding(decode_with_opencv),
    }


def rate(read: Callable[..., list[np.ndarray]], positions: np.ndarray) -> float:
    """Pairs per second of process CPU time."""
    start = time.process_time()
    for position in positions:
        read(*position)
    return len(positions) / (time.process_time() - start)


def training_rate(store: PairStore, steps: int) -> float:
    """Augmented pairs per second of process CPU time, as tensors; the best of three rounds."""
    batches = TrainingBatches(store, patch=PATCH, batch=16, seed=1, workers=0)
    batches(0)
    rates = []
    for _ in range(3):
        start = time.process_time()
        for step in range(steps):
            batches(step)
        rates.append(16 * steps / (time.process_time() - start))
    return max(rates)


def measure(title: str, size: tuple[int, int], count: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        make_pairs(root, size, count)
        prepare_dataset("Rain13K", root, root / "store", profile="paper", workers=1)
        store = PairStore.open(root / "store")
        start = time.process_time()
        prepare_dataset(
            "Rain13K", root, root / "compact", profile="paper", layout="compact", workers=1
        )
        seconds = time.process_time() - start
        compact = PairStore.open(root / "compact")
        assert compact.manifest.digest == store.manifest.digest
        rng = np.random.default_rng(1)
        positions = np.stack(
            [rng.integers(0, limit, 2000) for limit in (count, size[0] - PATCH, size[1] - PATCH)], 1
        )
        ways = readers(root, store, compact)
        for position in positions[:4]:
            patches = [read(*position) for read in ways.values()]
            assert all(np.array_equal(other, patches[0]) for other in patches)
        process = psutil.Process()
        before = process.memory_info()
        rate(ways["store"], positions)
        after = process.memory_info()
        rates = dict.fromkeys(ways, 0.0)
        for _ in range(3):
            for way, read in ways.items():
                few = {"store": 2000, "compact": 200}.get(way, 12 if size[0] < 1000 else 3)
                some = positions[:few]
                rates[way] = max(rates[way], rate(read, some))
        png = sum(path.stat().st_size for path in (root / "Rain13K").rglob("*.png"))
        arrow, tiles = (
            sum(shard.bytes for shard in opened.manifest.shards) for opened in (store, compact)
        )
        return {
            "source": title,
            "pairs_per_cpu_second": {way: round(value, 1) for way, value in rates.items()},
            "fed_pairs_per_cpu_second": {
                "store": round(training_rate(store, 20), 1),
                "compact": round(training_rate(compact, 4), 1),
            },
            "times_opencv": round(rates["store"] / rates["OpenCV"]),
            "times_pillow": round(rates["store"] / rates["Pillow"]),
            "compact_times_opencv": round(rates["compact"] / rates["OpenCV"], 1),
            "bytes_of_a_pair_png": png // count,
            "bytes_of_a_pair_store": arrow // count,
            "bytes_of_a_pair_compact": tiles // count,
            "store_to_png": round(arrow / png, 2),
            "compact_to_png": round(tiles / png, 2),
            "cpu_seconds_to_prepare_a_compact_pair": round(seconds / count, 1),
            "private_memory_of_2000_crops_mb": round(
                ((after.rss - after.shared) - (before.rss - before.shared)) / 1e6, 1
            ),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    results = []
    for title, (size, count) in SOURCES.items():
        results.append(measure(title, size, count))
        print(json.dumps(results[-1], indent=2), flush=True)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        machine = f"{platform.machine()}, {os.cpu_count()} CPU cores, one used, shared with others"
        out.write_text(
            json.dumps({"machine": machine, "results": results}, indent=2) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
