"""From an official tree to a prepared store: `prepare_dataset`."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from dgunet.data.catalogue.entries import DatasetInfo, dataset
from dgunet.data.readers.folder_layouts import find_tree, read_pairs
from dgunet.data.readers.images import Picture
from dgunet.data.readers.pair_direction import looks_swapped
from dgunet.data.readers.pairing import Pair, check_shapes
from dgunet.data.store.manifest import VERSION, LayoutName, StoreManifest
from dgunet.data.store.pair_store import Source, content_digest
from dgunet.data.store.preparation_recipes import Cut, Recipe, RecipeName, StudioLuma, Whole
from dgunet.data.store.preparation_recipes import recipe as find_recipe
from dgunet.data.store.releases import Seen, doubts
from dgunet.data.store.writer import (
    SHARD_BYTES,
    LoadedPair,
    Written,
    load_written,
    plan_shards,
    save_written,
    write_manifest,
    write_shard,
)
from dgunet.system import files
from dgunet.system.errors import DataError, DgunetError
from dgunet.system.parent_process import end_with_parent
from dgunet.system.reading import read_text

Observe = Callable[[int, int], None]
"""Called with (pairs written, pairs in all): after each pair, or after each file if in parallel."""


LEAST = {"raw": 1.0, "compact": 1 / 3}
"""Share of the raw pixels' bytes that a layout needs: the real sets took 0.34 to 0.75 in tiles."""


_NOTES = 2
"""Version of what is remembered of a finished file."""


@dataclass(frozen=True)
class Job:
    """One file of a store to be written by one worker."""

    path: Path
    pairs: tuple[Pair, ...]
    root: Path
    cut: Cut
    layout: LayoutName

    @property
    def record(self) -> Path:
        """Where a finished file is remembered for a later run."""
        return self.path.with_suffix(".json")


def prepare_dataset(
    name: str,
    root: Path,
    out: Path,
    *,
    profile: str,
    recipe: RecipeName = "whole",
    layout: LayoutName = "raw",
    workers: int | None = None,
    shard_bytes: int = SHARD_BYTES,
    observe: Observe | None = None,
) -> StoreManifest:
    """Check the tree of set ``name`` under ``root`` and write its store to ``out``.

    The same input gives byte-identical files, whatever the number of workers. ``out`` appears only
    when it is whole; an interrupted run goes on after its last finished file. A set that is not the
    benchmark's release is prepared all the same: its manifest says why, and never ``complete``.

    Args:
        name: a catalogue key.
        root: the folder that holds the official trees, e.g. ``data/sample``.
        out: the store's folder; replaced if it is there.
        profile: ``sample`` or ``paper``; a sample store is never complete.
        recipe: of `dgunet.data.store.preparation_recipes`; ``whole`` keeps every picture as it is.
        layout: of `dgunet.data.store.pair_store`; the digest is the same for both.
        workers: processes, at most one a file; None takes one a processor.
        shard_bytes: pixels after which a new file begins.
        observe: progress.

    Raises:
        DataError: if the set is unknown, missing, incomplete, mixed up or corrupt, if the recipe
            does not use it, or if another preparation writes to ``out``.
        DgunetError: if the disk is too small or full, or ``out`` may not be written.
    """
    info = dataset(name)
    way = find_recipe(info, recipe)
    pairs = [way.picture(pair) for pair in read_pairs(info, root)]
    shapes = [check_shapes(pair) for pair in pairs]
    sizes = [_bytes(*one, way.cut) for one in zip(pairs, shapes, strict=True)]
    with (
        _alone(out),
        _work_folder(out, _identity(info, way, layout, pairs, root, shard_bytes)) as work,
    ):
        jobs = [
            Job(
                work / f"pairs-{number:05d}.arrow",
                tuple(pairs[part.start : part.stop]),
                root,
                way.cut,
                layout,
            )
            for number, part in enumerate(plan_shards(sizes, shard_bytes))
        ]
        _check_space(round(sum(sizes) * LEAST[layout]), work, out)
        written = _write(jobs, workers or os.cpu_count() or 1, observe or (lambda *_: None))
        _refuse_swapped(info, find_tree(info, root)[1], written)
        doubted = _doubts(info, way, shapes, written)
        with files.atomic_folder(out) as final:
            for job in jobs:
                job.path.rename(final / job.path.name)
            return write_manifest(
                final,
                written,
                dataset=info.name,
                task=info.task,
                role=info.role,
                profile=profile,
                published_count=info.pairs * way.cut.count,
                complete=profile != "sample" and len(pairs) == info.pairs and not doubted,
                protocol=info.protocol,
                recipe=way.name,
                layout=layout,
                doubts=doubted,
            )


def _bytes(pair: Pair, shape: tuple[int, int, int], cut: Cut) -> int:
    """Bytes of the records of a pair of that shape."""
    height, width, channels = shape
    images = (pair.input is not None) + (pair.target is not None)
    coloured = isinstance(pair.target, StudioLuma) and not pair.target.is_grey()
    wide = 4 if pair.target is None or coloured else 1
    return cut.pixels(height, width) * channels * images * wide


def _identity(
    info: DatasetInfo,
    way: Recipe,
    layout: LayoutName,
    pairs: list[Pair],
    root: Path,
    shard_bytes: int,
) -> str:
    """What must be the same for an interrupted run to be continued."""
    sources = {
        picture.path: picture.path.stat()
        for pair in pairs
        for picture in (pair.input, pair.target)
        if picture is not None
    }
    described = [
        (path.relative_to(root).as_posix(), stat.st_size, stat.st_mtime_ns)
        for path, stat in sources.items()
    ]
    return files.sha256_json(
        [VERSION, _NOTES, repr(way), layout, info.name, shard_bytes, described]
    )


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold the lock of ``out``; it is freed by the operating system if the process dies."""
    with files.writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out.parent / f".{out.name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise DataError(
                f"{out} is being prepared by another process.",
                "Wait for it, or choose another --out.",
            ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _work_folder(out: Path, identity: str) -> Iterator[Path]:
    """The folder of finished files beside ``out``; kept if there is something to go on from."""
    work = out.parent / f".{out.name}.work"
    mark = work / "identity"
    if not _holds(mark, identity):
        shutil.rmtree(work, ignore_errors=True)
        files.write_text(mark, identity)
    try:
        yield work
    except DataError:
        shutil.rmtree(work, ignore_errors=True)
        raise
    finally:
        if not list(work.glob("*.json")):
            shutil.rmtree(work, ignore_errors=True)
    shutil.rmtree(work, ignore_errors=True)


def _holds(mark: Path, identity: str) -> bool:
    try:
        return read_text(mark) == identity
    except (FileNotFoundError, DataError):  # a damaged mark is none
        return False


def _check_space(need: int, work: Path, out: Path) -> None:
    """Refuse before starting what could not be finished."""
    free = shutil.disk_usage(work).free
    done = sum(path.stat().st_size for path in work.glob("*.arrow"))
    if need - done > free:
        raise DgunetError(  # no DataError: what is finished stays for the next run
            f"{out} needs at least {need / 1e9:.1f} GB and the disk has {free / 1e9:.1f} GB free.",
            "Free some space, or choose another --out.",
        )


def _write(jobs: list[Job], workers: int, observe: Observe) -> list[Written]:
    """Write the files that are not there yet; in this process if one worker is enough."""
    total = sum(len(job.pairs) for job in jobs)
    results = {job.path: load_written(job.record) for job in jobs}
    left = [job for job in jobs if results[job.path] is None]
    done = total - sum(len(job.pairs) for job in left)
    if min(workers, len(left)) <= 1:
        for job in left:
            results[job.path] = _write_one(job, lambda count: observe(done + count, total))  # noqa: B023
            done += len(job.pairs)
    else:
        # Not forked: the parent may hold threads of MLflow or torch.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(
            min(workers, len(left)), context, end_with_parent, (os.getpid(),)
        ) as pool:
            futures = {pool.submit(_write_one, job): job for job in left}
            try:
                for future in as_completed(futures):
                    job = futures[future]
                    results[job.path] = future.result()
                    done += len(job.pairs)
                    observe(done, total)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    return [written for written in results.values() if written is not None]


def _write_one(job: Job, observe: Callable[[int], None] | None = None) -> Written:
    pairs = _decoded(job.pairs, job.root, observe or (lambda _: None))
    records = (record for pair in pairs for record in job.cut(pair))
    written = write_shard(job.path, records, job.layout)
    save_written(written, job.record)
    return written


def _decoded(
    pairs: Sequence[Pair], root: Path, observe: Callable[[int], None]
) -> Iterator[LoadedPair]:
    digests: dict[Path, str] = {}

    def source(picture: Picture | None) -> Source | None:
        if picture is None:
            return None
        if picture.path not in digests:
            digests[picture.path] = files.sha256_file(picture.path)
        return Source(picture.path.relative_to(root).as_posix(), digests[picture.path])

    for done, pair in enumerate(pairs, start=1):
        degraded, clean = (
            None if picture is None else np.ascontiguousarray(picture.load())
            for picture in (pair.input, pair.target)
        )
        yield LoadedPair(pair.id, degraded, clean, source(pair.input), source(pair.target))
        observe(done)


def _doubts(
    info: DatasetInfo, way: Recipe, shapes: list[tuple[int, int, int]], written: list[Written]
) -> tuple[str, ...]:
    """What speaks against the benchmark's release, of pictures that are kept as they are."""
    if not isinstance(way.cut, Whole) or way.luma != "file":
        return ()
    sizes = Counter(f"{width}x{height}" for height, width, _ in shapes)
    compared = sum(part.compared for part in written)
    lift = sum(part.lift for part in written) / compared if compared else None
    digest = content_digest(line for part in written for line in part.lines)
    return tuple(doubts(info, Seen(len(shapes), digest, sizes, input_lift=lift)))


def _refuse_swapped(info: DatasetInfo, folder: Path, written: list[Written]) -> None:
    compared = sum(part.compared for part in written)
    rougher = sum(part.rougher for part in written)
    if compared and looks_swapped(info.task, rougher / compared):
        raise DataError(
            f"{folder}: input and target look swapped: {rougher} of {compared} inputs have more"
            " detail than their targets.",
            "Rename the two folders.",
        )
