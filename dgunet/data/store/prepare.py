"""Preparation of a dataset: from its official folder tree to a store, `prepare_dataset`."""

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
from dgunet.data.readers.folder_layouts import find_tree
from dgunet.data.readers.images import LazyImage
from dgunet.data.readers.pair_direction import looks_swapped
from dgunet.data.readers.pairing import Pair, check_shapes
from dgunet.data.store.manifest import VERSION, LayoutName, StoreManifest
from dgunet.data.store.preparation_recipes import (
    PreparationRecipe,
    RecipeName,
    RecordCut,
    StudioLuma,
    WholeImages,
    find_recipe,
)
from dgunet.data.store.recognition import ReleaseMeasurements, read_complete_pairs
from dgunet.data.store.records import LoadedPair, SourceFile, content_digest
from dgunet.data.store.releases import measure_quality, release_doubts
from dgunet.data.store.writer import (
    SHARD_BYTES,
    WrittenShard,
    load_written,
    plan_shards,
    save_written,
    write_manifest,
    write_shard,
)
from dgunet.system import files
from dgunet.system.errors import DataError, DgunetError
from dgunet.system.machine_limits import processors
from dgunet.system.parent_process import end_with_parent
from dgunet.system.reading import read_text

Observe = Callable[[int, int], None]
"""Called with (pairs written, total pairs): after each pair, or after each file if in parallel."""

LEAST = {"raw": 1.0, "compact": 1 / 3}
"""Minimum size of a layout relative to the raw pixels' bytes; real datasets took 0.34 to 0.75 as
tiles."""

_NOTES = 2
"""Version of the notes about finished files."""

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class ShardJob:
    """One file of a store, to be written by one worker."""

    path: Path
    pairs: tuple[Pair, ...]
    root: Path
    cut: RecordCut
    layout: LayoutName

    @property
    def note(self) -> Path:
        """Note of the finished file, for a run that continues this one."""
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
    """Check the folder tree of dataset ``name`` under ``root`` and write its store to ``out``.

    The same input gives byte-identical files for any number of workers. ``out`` appears only when
    it is complete; an interrupted run continues after its last finished file. A release other than
    the benchmark's is prepared too: its manifest gives the reasons and is never ``complete``.

    Args:
        name: a catalogue name.
        root: the folder of the official trees, e.g. ``data/sample``.
        out: the store's folder; an existing one is replaced.
        profile: ``sample`` or ``paper``; a sample store is never complete.
        recipe: of `dgunet.data.store.preparation_recipes`; ``whole`` keeps every image whole.
        layout: of `dgunet.data.store.pair_store`; the digest is the same for both.
        workers: number of processes, at most one per file; None means one per processor that this
            process may use.
        shard_bytes: bytes of pixels after which a new file begins.
        observe: receives the progress.

    Raises:
        DataError: if the dataset is unknown, missing, incomplete, mixed up or damaged, if the
            recipe does not use it, or if another process is preparing ``out``.
        DgunetError: if the disk is too small or full, or ``out`` is not writable.
    """
    info = dataset(name)
    chosen = find_recipe(info, recipe)
    pairs = [chosen.with_luma(pair) for pair in read_complete_pairs(info, root)]
    shapes = [check_shapes(pair) for pair in pairs]
    sizes = [_bytes(*one, chosen.cut) for one in zip(pairs, shapes, strict=True)]
    identity = _identity(info, chosen, layout, pairs, root, shard_bytes)
    with _exclusive(out), _work_folder(out, identity) as work:
        parts = [tuple(pairs[part.start : part.stop]) for part in plan_shards(sizes, shard_bytes)]
        jobs = [
            ShardJob(work / f"pairs-{number:05d}.arrow", part, root, chosen.cut, layout)
            for number, part in enumerate(parts)
        ]
        _check_space(round(sum(sizes) * LEAST[layout]), work, out)
        written = _write(jobs, workers or processors(), observe or (lambda *_: None))
        _refuse_swapped(info, find_tree(info, root)[1], written)
        doubts = _doubts(info, chosen, pairs, shapes, written)
        with files.atomic_folder(out) as final:
            _move_shards(jobs, final)
            return write_manifest(
                final,
                written,
                dataset=info.name,
                task=info.task,
                role=info.role,
                profile=profile,
                published_count=info.pairs * chosen.cut.count,
                complete=profile != "sample" and len(pairs) == info.pairs and not doubts,
                protocol=info.protocol,
                recipe=chosen.name,
                layout=layout,
                doubts=doubts,
            )


def _move_shards(jobs: Sequence[ShardJob], folder: Path) -> None:
    for job in jobs:
        job.path.rename(folder / job.path.name)


def _bytes(pair: Pair, shape: Shape, cut: RecordCut) -> int:
    """Bytes of pixels in the records of a pair with that shape."""
    height, width, channels = shape
    images = (pair.input is not None) + (pair.target is not None)
    coloured = isinstance(pair.target, StudioLuma) and not pair.target.is_grey()
    item_bytes = 4 if pair.target is None or coloured else 1
    return cut.pixels(height, width) * channels * images * item_bytes


def _identity(
    info: DatasetInfo,
    recipe: PreparationRecipe,
    layout: LayoutName,
    pairs: list[Pair],
    root: Path,
    shard_bytes: int,
) -> str:
    """Digest of everything that must be unchanged for an interrupted run to be continued."""
    sources = {
        image.path: image.path.stat()
        for pair in pairs
        for image in (pair.input, pair.target)
        if image is not None
    }
    described = [
        (path.relative_to(root).as_posix(), stat.st_size, stat.st_mtime_ns)
        for path, stat in sources.items()
    ]
    return files.sha256_json(
        [VERSION, _NOTES, repr(recipe), layout, info.name, shard_bytes, described]
    )


@contextmanager
def _exclusive(out: Path) -> Iterator[None]:
    """Hold the lock of ``out``; the operating system releases it if the process dies."""
    with files.writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out.parent / f".{out.name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise DataError(
                f"{out} is being prepared by another process.",
                "Wait until it has finished, or choose another --out.",
            ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _work_folder(out: Path, identity: str) -> Iterator[Path]:
    """Folder of finished files next to ``out``; kept if a later run can continue from it."""
    work = out.parent / f".{out.name}.work"
    mark = work / "identity"
    if not _has_identity(mark, identity):
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


def _has_identity(mark: Path, identity: str) -> bool:
    try:
        return read_text(mark) == identity
    except (FileNotFoundError, DataError):  # a damaged file has no identity
        return False


def _check_space(need: int, work: Path, out: Path) -> None:
    """Refuse a preparation whose result the disk cannot hold, before it starts."""
    free = shutil.disk_usage(work).free
    done = sum(path.stat().st_size for path in work.glob("*.arrow"))
    if need - done > free:
        raise DgunetError(  # not a DataError, which would remove the finished files
            f"{out} needs at least {need / 1e9:.1f} GB and the disk has {free / 1e9:.1f} GB free.",
            "Free some space, or choose another --out.",
        )


def _write(jobs: list[ShardJob], workers: int, observe: Observe) -> list[WrittenShard]:
    """Write the files that do not exist yet, in this process if one worker is enough."""
    total = sum(len(job.pairs) for job in jobs)
    results = {job.path: load_written(job.note) for job in jobs}
    left = [job for job in jobs if results[job.path] is None]
    done = total - sum(len(job.pairs) for job in left)
    if min(workers, len(left)) <= 1:
        for job in left:
            results[job.path] = _write_one(job, lambda count: observe(done + count, total))  # noqa: B023
            done += len(job.pairs)
    else:
        # Not forked: the parent may have threads of MLflow or torch.
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


def _write_one(job: ShardJob, observe: Callable[[int], None] | None = None) -> WrittenShard:
    pairs = _decoded(job.pairs, job.root, observe or (lambda _: None))
    records = (record for pair in pairs for record in job.cut(pair))
    written = write_shard(job.path, records, job.layout)
    save_written(written, job.note)
    return written


def _decoded(
    pairs: Sequence[Pair], root: Path, observe: Callable[[int], None]
) -> Iterator[LoadedPair]:
    digests: dict[Path, str] = {}

    def source(image: LazyImage | None) -> SourceFile | None:
        if image is None:
            return None
        if image.path not in digests:
            digests[image.path] = files.sha256_file(image.path)
        return SourceFile(image.path.relative_to(root).as_posix(), digests[image.path])

    for done, pair in enumerate(pairs, start=1):
        degraded, clean = (
            None if image is None else np.ascontiguousarray(image.load())
            for image in (pair.input, pair.target)
        )
        yield LoadedPair(pair.id, degraded, clean, source(pair.input), source(pair.target))
        observe(done)


def _doubts(
    info: DatasetInfo,
    recipe: PreparationRecipe,
    pairs: Sequence[Pair],
    shapes: list[Shape],
    written: list[WrittenShard],
) -> tuple[str, ...]:
    """Reasons why this is not the benchmark's release, if the images are kept whole."""
    if not isinstance(recipe.cut, WholeImages) or recipe.luma != "file":
        return ()
    sizes = Counter(f"{width}x{height}" for height, width, _ in shapes)
    compared = sum(shard.compared for shard in written)
    lift = sum(shard.lift for shard in written) / compared if compared else None
    digest = content_digest(line for shard in written for line in shard.lines)
    measured = ReleaseMeasurements(
        len(shapes),
        digest,
        sizes,
        input_psnr=measure_quality(info, pairs, digest),
        input_lift=lift,
    )
    return tuple(release_doubts(info, measured))


def _refuse_swapped(info: DatasetInfo, folder: Path, written: list[WrittenShard]) -> None:
    compared = sum(shard.compared for shard in written)
    rougher = sum(shard.rougher for shard in written)
    if compared and looks_swapped(info.task, rougher / compared):
        raise DataError(
            f"{folder}: input and target look swapped: {rougher} of {compared} inputs have more"
            " detail than their targets.",
            "Swap the names of the two folders.",
        )
