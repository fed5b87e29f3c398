"""Examination of every pair of a dataset, on all processors if the dataset is large."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dgunet.data.check.fingerprints import Fingerprint, fingerprint
from dgunet.data.readers.images import LazyImage, Pixels
from dgunet.data.readers.pair_direction import roughness
from dgunet.data.readers.pairing import Pair, check_shapes
from dgunet.data.store.records import pixel_digest
from dgunet.data.store.releases import input_psnr
from dgunet.system.errors import DataError
from dgunet.system.machine_limits import processors
from dgunet.system.parent_process import end_with_parent

LARGE = 256 << 20
"""Total size of the files in bytes above which several processes are used."""

CHUNK = 8
"""Pairs per task of a worker process."""


@dataclass(frozen=True)
class Comparison:
    """Comparison of input and target.

    Attributes:
        psnr: PSNR on Y in dB.
        lift: mean(input) - mean(target) in grey levels.
        rougher: whether the input has more detail.
    """

    psnr: float
    lift: float
    rougher: bool


@dataclass(frozen=True)
class PairExamination:
    """Result for one pair; only ``error`` is set if it cannot be read.

    Attributes:
        id: id of the pair.
        error: the error and its hint.
        size: "WxH".
        kinds: format and colour mode of its files, e.g. ``PNG RGB``.
        digests: `pixel_digest` of input and target.
        colourless: whether its three channels are equal.
        compared: None without an input or a target.
        fingerprint: of the clean image, or else of the degraded one; None unless it is uint8.
    """

    id: str
    error: str = ""
    size: str = ""
    kinds: tuple[str, ...] = ()
    digests: tuple[str, str] = ("-", "-")
    colourless: bool = False
    compared: Comparison | None = None
    fingerprint: Fingerprint | None = None


def examine_all(
    pairs: Sequence[Pair], *, workers: int | None = None, observe: Callable[[int], None]
) -> Iterator[PairExamination]:
    """Examine every pair; the results do not depend on the number of processes.

    Args:
        pairs: pairs of one dataset.
        workers: number of processes; None means one per processor that this
            process may use if the files are large, else one.
        observe: called with the number of pairs that were read.
    """
    if workers is None:
        large = sum(_size(path) for path in {half.path for half in _halves(pairs)}) > LARGE
        workers = processors() if large else 1
    if workers <= 1:
        for done, pair in enumerate(pairs, start=1):
            yield examine(pair)
            observe(done)
        return
    # Not forked: the parent may have threads of MLflow.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, end_with_parent, (os.getpid(),)) as pool:
        try:
            for done, found in enumerate(pool.map(examine, pairs, chunksize=CHUNK), start=1):
                yield found
                observe(done)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def examine(pair: Pair) -> PairExamination:
    """Read and measure one pair."""
    try:
        height, width, _ = check_shapes(pair)
        kinds = tuple(half.kind() for half in (pair.input, pair.target) if half is not None)
        degraded = None if pair.input is None else pair.input.load()
        clean = None if pair.target is None else pair.target.load()
    except DataError as error:
        return PairExamination(pair.id, error=str(error))
    shown = clean if clean is not None else degraded
    assert shown is not None
    return PairExamination(
        pair.id,
        size=f"{width}x{height}",
        kinds=kinds,
        digests=(pixel_digest(degraded), pixel_digest(clean)),
        colourless=_is_colourless(shown),
        compared=None if degraded is None or clean is None else _compare(degraded, clean),
        fingerprint=fingerprint(shown) if shown.dtype == np.uint8 else None,
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # a dangling link; reading it gives the error
        return 0


def _halves(pairs: Sequence[Pair]) -> Iterator[LazyImage]:
    return (half for pair in pairs for half in (pair.input, pair.target) if half is not None)


def _is_colourless(image: Pixels) -> bool:
    return image.shape[2] == 3 and bool((image == image[..., :1]).all())


def _compare(degraded: Pixels, clean: Pixels) -> Comparison:
    return Comparison(
        psnr=input_psnr(degraded, clean),
        lift=float(degraded.mean() - clean.mean()),
        rougher=roughness(degraded) > roughness(clean),
    )
