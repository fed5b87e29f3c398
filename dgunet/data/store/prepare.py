"""Preparation of a dataset: from its official folder tree to a store, `prepare_dataset`."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dgunet.data.catalogue.entries import DatasetInfo
from dgunet.data.readers.folder_layouts import find_tree
from dgunet.data.readers.images import LazyImage
from dgunet.data.readers.pair_direction import looks_swapped
from dgunet.data.readers.pairing import Pair
from dgunet.data.store.manifest import LayoutName, StoreManifest
from dgunet.data.store.preparation_folder import (
    beside_other_parts,
    exclusive,
    shared_work_folder,
    work_folder,
)
from dgunet.data.store.preparation_plan import PreparationPlan, ShardJob, plan_preparation
from dgunet.data.store.preparation_recipes import (
    RecipeName,
    WholeImages,
)
from dgunet.data.store.recognition import ReleaseMeasurements
from dgunet.data.store.records import LoadedPair, SourceFile, content_digest
from dgunet.data.store.releases import measure_quality, release_doubts
from dgunet.data.store.writer import (
    SHARD_BYTES,
    WrittenShard,
    load_written,
    save_written,
    write_manifest,
    write_shard,
)
from dgunet.system import files
from dgunet.system.errors import DataError, DgunetError
from dgunet.system.machine_limits import processors
from dgunet.system.parent_process import end_with_parent
from dgunet.system.parts import Part

Observe = Callable[[int, int], None]
"""Called with (pairs written, total pairs): after each pair, or after each file if in parallel."""

LEAST = {"raw": 1.0, "compact": 1 / 3}
"""Minimum size of a layout relative to the raw pixels' bytes; real datasets took 0.34 to 0.75 as
tiles."""


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
    plan = plan_preparation(name, root, recipe=recipe, layout=layout, shard_bytes=shard_bytes)
    info, chosen = plan.info, plan.recipe
    with exclusive(out), work_folder(out, plan.identity) as work:
        jobs = plan.jobs(work)
        _check_space(round(sum(plan.sizes) * LEAST[layout]), work, out)
        written = _write(jobs, workers or processors(), observe or (lambda *_: None))
        _refuse_swapped(info, find_tree(info, root)[1], written)
        doubts = _doubts(plan, written)
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
                complete=profile != "sample" and len(plan.pairs) == info.pairs and not doubts,
                protocol=info.protocol,
                recipe=chosen.name,
                layout=layout,
                doubts=doubts,
            )


@dataclass(frozen=True)
class PreparedPart:
    """What a part leaves for the preparation that merges the parts.

    Attributes:
        files: of the part.
        done: files of the whole store that are written, by this part and others.
        total: files of the store.
    """

    files: int
    done: int
    total: int


def prepare_part(
    name: str,
    root: Path,
    out: Path,
    part: Part,
    *,
    recipe: RecipeName = "whole",
    layout: LayoutName = "raw",
    workers: int | None = None,
    shard_bytes: int = SHARD_BYTES,
    observe: Observe | None = None,
) -> PreparedPart:
    """Write the files of one part of a store; `prepare_dataset` merges all parts into ``out``.

    A part is a contiguous range of the files, each with ``shard_bytes`` of pixels. It may be empty.
    A killed part goes on after its last finished file. Parts may be written at the same time, on
    machines that have ``root`` and the folder of ``out`` in common. `prepare_dataset` with the same
    arguments writes what no part has written, and checks the whole.

    Args:
        part: which part of how many.

    The other arguments are those of `prepare_dataset`.

    Raises:
        DataError: as `prepare_dataset`; if the whole is being prepared, or this part; if other
            parts were prepared from other files or with another recipe.
        DgunetError: as `prepare_dataset`.
    """
    plan = plan_preparation(name, root, recipe=recipe, layout=layout, shard_bytes=shard_bytes)
    with beside_other_parts(out, part), shared_work_folder(out, plan.identity) as work:
        jobs = plan.jobs(work)
        mine = [jobs[index] for index in part.of(len(jobs))]
        _check_space(round(sum(plan.sizes) * LEAST[layout]), work, out)
        _write(mine, workers or processors(), observe or (lambda *_: None))
        return PreparedPart(len(mine), sum(job.note.is_file() for job in jobs), len(jobs))


def _move_shards(jobs: Sequence[ShardJob], folder: Path) -> None:
    for job in jobs:
        job.path.rename(folder / job.path.name)


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


def _doubts(plan: PreparationPlan, written: list[WrittenShard]) -> tuple[str, ...]:
    """Reasons why this is not the benchmark's release, if the images are kept whole."""
    info, recipe, shapes = plan.info, plan.recipe, plan.shapes
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
        input_psnr=measure_quality(info, plan.pairs, digest),
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
