"""Random 256x256 crops of a pair: from the prepared store, and from PNG files the usual way.

The usual way decodes both photographs and crops them. The raw store maps the pixels and copies the
crop; the compact store decodes the tiles that the crop touches. All give the same uint8 patches.
Training samples are measured too: pairs that are cropped, augmented and converted to float tensors,
by `dgunet.data.batches` from the store, and as the released code does from PNG files.

Sources are photographs enlarged to the sizes of GoPro and SIDD with sensor noise (0.5 % of white in
the clean image, 5 % in the other), so that they compress no better than a camera's. All files are
in the page cache.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.pairs import Candidate, Pair
from benchmarks.worker import Work

PATCH = 256
SOURCES = {"1280x720": ((720, 1280), 6), "5328x3000": ((3000, 5328), 2)}
"""Sizes as (rows, columns), and the number of pairs."""

CROPS = {
    "raw store": 500,
    "compact store": 50,
    "OpenCV, whole PNG": 2,
    "Pillow, whole PNG": 2,
}
"""Crops of one call: enough to time."""
SAMPLES = {"raw store": 16, "compact store": 16, "Pillow, whole PNG": 2}
"""Training samples of one call."""


def make_pairs(folder: Path, size: tuple[int, int], count: int) -> None:
    """Write ``count`` PNG pairs in the tree of Rain13K."""
    import cv2
    from PIL import Image

    from dgunet.data.sample.degrade import add_sensor_noise
    from dgunet.data.sample.photographs import photographs

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


def prepared(pairs: Sequence[Pair], folder: Path) -> list[Pair]:
    """Write the photographs and both stores of the sizes that ``pairs`` read."""
    from dgunet.data.store.prepare import prepare_dataset

    ready = []
    for title in dict.fromkeys(pair.candidate.arguments["source"] for pair in pairs):
        root = folder / title
        make_pairs(root, *SOURCES[title])
        for layout in ("raw", "compact"):
            prepare_dataset(
                "Rain13K", root, root / layout, profile="paper", layout=layout, workers=1
            )
        for pair in (one for one in pairs if one.candidate.arguments["source"] == title):
            sides = (
                dataclasses.replace(side, arguments=side.arguments | {"root": str(root)})
                for side in (pair.baseline, pair.candidate)
            )
            ready.append(dataclasses.replace(pair, **dict(zip(_SIDES, sides, strict=True))))
    return ready


_SIDES = ("baseline", "candidate")


def crops(source: str, way: str, root: str) -> Work:
    """Pairs of patches at fixed random positions, read one ``way``."""
    read = _reader(way, Path(root))
    (height, width), count = SOURCES[source]
    rng = np.random.default_rng(1)
    limits = (count, height - PATCH, width - PATCH)
    positions = np.stack([rng.integers(0, limit, max(CROPS.values())) for limit in limits], 1)
    mine = [tuple(map(int, position)) for position in positions[: CROPS[way]]]

    def run() -> None:
        for position in mine:
            read(*position)

    return Work(
        run,
        lambda _: {"patches": np.stack([read(*map(int, p)) for p in positions[:3]])},
        {"MB a pair": round(_bytes(way, Path(root)) / count / 1e6, 2)},
    )


def _bytes(way: str, root: Path) -> int:
    """Bytes of all pairs in a store, or of the PNG files."""
    from dgunet.data.store.pair_store import PairStore

    if not way.endswith("store"):
        return sum(path.stat().st_size for path in (root / "Rain13K").rglob("*.png"))
    manifest = PairStore.open(root / way.partition(" ")[0]).manifest
    return sum(shard.bytes for shard in manifest.shards)


def _reader(way: str, root: Path) -> Callable[[int, int, int], Any]:
    """A function of (pair, top, left) that gives both patches."""
    import cv2

    cv2.setNumThreads(1)
    from dgunet.data.store.pair_store import PairStore

    if way.endswith("store"):
        store = PairStore.open(root / way.partition(" ")[0])

        def cut(index: int, top: int, left: int) -> Any:
            pair = store[index].crop(top, left, PATCH, PATCH)
            return [np.ascontiguousarray(pair.input), np.ascontiguousarray(pair.target)]

        return cut
    decode = _with_opencv if way.startswith("OpenCV") else _with_pillow
    records = PairStore.open(root / "raw")

    def decoded(index: int, top: int, left: int) -> Any:
        record = records[index]
        images = [
            decode(root / side.file)
            for side in (record.input_source, record.target_source)
            if side is not None
        ]
        return [image[top : top + PATCH, left : left + PATCH].copy() for image in images]

    return decoded


def _with_opencv(path: Path) -> Any:
    import cv2

    return cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)


def _with_pillow(path: Path) -> Any:
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image)


def samples(source: str, way: str, root: str) -> Work:
    """Augmented training samples as float tensors, read one ``way``."""
    import torch

    count = SAMPLES[way]
    if way.endswith("store"):
        from dgunet.data.batches.training_batches import TrainingBatches
        from dgunet.data.store.pair_store import PairStore

        store = PairStore.open(Path(root) / way.partition(" ")[0])
        batches = TrainingBatches(store, patch=PATCH, batch=count, seed=1, workers=0)
        steps = iter(range(10**9))
        return Work(lambda: batches(next(steps)), lambda pair: _shape(pair[0][:1]))
    read, rng = _reader(way, Path(root)), np.random.default_rng(1)
    (height, width), photographs = SOURCES[source]

    def run() -> Any:
        made = []
        for _ in range(count):
            position = [int(rng.integers(n)) for n in (photographs, height - PATCH, width - PATCH)]
            turn = int(rng.integers(8))
            both = [
                torch.from_numpy(patch).permute(2, 0, 1).float().div(255)
                for patch in read(*position)
            ]
            both = [torch.rot90(patch, turn % 4, (1, 2)) for patch in both]
            made.append([patch.flip(1) if turn > 3 else patch for patch in both])
        return torch.stack([pair[0] for pair in made]), torch.stack([pair[1] for pair in made])

    return Work(run, lambda pair: _shape(pair[0][:1]))


def _shape(tensor: Any) -> dict[str, Any]:
    """The draws differ, so only the form of a sample is compared."""
    return {"shape": np.array([*tensor.shape, float(tensor.max() <= 1)])}


def pairs(device: str, *, quick: bool) -> list[Pair]:
    """Both sizes of photographs; ``quick``: the small one. The device does not matter."""
    made = []
    for source in [*SOURCES][: 1 if quick else None]:
        for kind, units in (("crops", CROPS), ("samples", SAMPLES)):
            for baseline in [way for way in units if way.endswith("PNG")]:
                for way in [way for way in units if way.endswith("store")]:
                    made.append(_pair(source, kind, baseline, way, units))
    return made


def _pair(source: str, kind: str, baseline: str, way: str, units: dict[str, int]) -> Pair:
    sides = (
        Candidate(
            side, f"benchmarks.store_crops:{kind}", {"source": source, "way": side}, units[side]
        )
        for side in (baseline, way)
    )
    against = baseline.partition(",")[0]
    label = "crops" if kind == "crops" else "training samples"
    size = SOURCES[source][0]
    duration = 1 + 3e-7 * size[0] * size[1]
    return Pair(f"{label} of {source}, {against}", *sides, seconds=duration, tolerance=0.0)
