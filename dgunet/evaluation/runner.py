"""Evaluation of one network on one prepared test set: per-image rows, then their means."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from typing import Protocol as Interface

import numpy as np
import torch
from PIL import Image
from torch import nn

from dgunet import __version__
from dgunet.errors import DataError, EvaluationError
from dgunet.evaluation.arrays import Array
from dgunet.evaluation.colour import opencv_luma
from dgunet.evaluation.memory import require_memory
from dgunet.evaluation.protocols import Protocol, Score, round_to_uint8
from dgunet.evaluation.restoration import Network, device_of, in_blocks, restore_image, to_tensor
from dgunet.evaluation.rows import (
    Entry,
    Journal,
    Row,
    Timing,
    array_sha256,
    mean,
    write_rows,
    write_timings,
)
from dgunet.evaluation.summary import EvaluationSummary, State, finite
from dgunet.files import atomic_path, sha256_file, sha256_json, write_json

_AHEAD = 2


class Manifest(Interface):
    """What the runner reads of a store's manifest."""

    dataset: str
    task: str
    profile: str
    digest: str
    count: int
    published_count: int
    complete: bool


class Record(Interface):
    """One test image: uint8 or unit-float arrays (H, W, C)."""

    @property
    def id(self) -> str: ...
    @property
    def input(self) -> Array | None: ...
    @property
    def target(self) -> Array | None: ...


class Store(Interface):
    """A prepared test set."""

    @property
    def manifest(self) -> Any: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Any: ...


@dataclass(frozen=True)
class Settings:
    """What makes one evaluation different from another on the same set.

    Attributes:
        row: the row of the paper's table: the variant or an ablation's key.
        variant: "DGUNet" or "DGUNet+".
        ratio: compressive-sensing ratio in percent, or None.
        checkpoint_sha256: of the weights; a resumed evaluation must have the same.
        keep_images: restored pictures kept as PNG, from the start of the set.
        tile: side of overlapping tiles, or None for whole images. Tiles change the result
            (``parity`` becomes False).
    """

    row: str
    variant: str = "DGUNet"
    ratio: int | None = None
    checkpoint_sha256: str = ""
    keep_images: int = 0
    tile: int | None = None


OnRow = Callable[[Row, int, int], None]


def evaluate_store(
    network: Network,
    store: Store,
    protocol: Protocol,
    out: Path,
    *,
    row: str | None = None,
    variant: str = "DGUNet",
    ratio: int | None = None,
    checkpoint_sha256: str = "",
    keep_images: int = 0,
    tile: int | None = None,
    timings: Path | None = None,
    on_row: OnRow | None = None,
) -> EvaluationSummary:
    """Restore and score every image of ``store``.

    Writes ``out/per_image.parquet``, ``out/summary.json`` and ``out/restored/*.png``, all of
    them the same bytes for the same input. Reading, restoring and scoring overlap; memory does
    not grow with the number of images. A killed evaluation resumes where it stopped.

    Args:
        network: maps (1, C, H, W) in [0, 1] to the stage outputs, the result last.
        store: the prepared set.
        protocol: of the set's table column.
        out: folder of the results.
        row: see `Settings`; defaults to ``variant``.
        variant: see `Settings`.
        ratio: see `Settings`.
        checkpoint_sha256: see `Settings`; empty means unknown, and nothing is resumed.
        keep_images: see `Settings`.
        tile: see `Settings`.
        timings: where to write seconds per image, or None; such a file is never reproducible.
        on_row: called as ``on_row(row, done, total)`` after each image, in order.

    Raises:
        DataError: for an empty set or a record without the image that the protocol needs.
        EvaluationError: when a result cannot be scored or an image does not fit into memory.
    """
    settings = Settings(row or variant, variant, ratio, checkpoint_sha256, keep_images, tile)
    evaluate_shard(network, store, protocol, out, settings, on_row=on_row)
    return merge_shards(store, protocol, out, settings, timings=timings)


def evaluate_shard(
    network: Network,
    store: Store,
    protocol: Protocol,
    out: Path,
    settings: Settings,
    *,
    shard: tuple[int, int] = (0, 1),
    on_row: OnRow | None = None,
) -> None:
    """Score every n-th image from the i-th on, ``shard = (i, n)``, into a journal in ``out``.

    Processes may share ``out``; `merge_shards` makes the tables once all are done.

    Raises:
        ValueError: for a shard number outside 0 to n - 1.
    """
    part, parts = shard
    if not 0 <= part < parts:
        raise ValueError(f"shard {part} of {parts} does not exist")
    if not len(store):
        raise DataError(f"the prepared set {store.manifest.dataset} is empty.", "Prepare it again.")
    journal = Journal(out / ".rows", _key(store, protocol, settings), f"{part}-of-{parts}")
    if not settings.checkpoint_sha256:
        journal.path.unlink(missing_ok=True)
    done = journal.entries()
    mine = range(part, len(store), parts)
    todo = [index for index in mine if index not in done]
    if isinstance(network, nn.Module):
        network.eval()
    work = _Work(network, store, protocol, out, settings)
    with journal.appending() as handle:
        for entry in _stream(work, todo):
            journal.append(handle, entry)
            done[entry[0]] = entry
            if on_row is not None:
                on_row(entry[1], sum(index in done for index in mine), len(mine))


def merge_shards(
    store: Store,
    protocol: Protocol,
    out: Path,
    settings: Settings,
    *,
    timings: Path | None = None,
) -> EvaluationSummary:
    """Make the tables of ``out`` from the journals of all shards; see `evaluate_store`.

    Raises:
        EvaluationError: when images are missing, because a shard has not finished.
    """
    journal = Journal(out / ".rows", _key(store, protocol, settings), "0-of-1")
    entries = journal.entries()
    missing = [index for index in range(len(store)) if index not in entries]
    if missing:
        raise EvaluationError(
            f"{len(missing)} of {len(store)} images of {store.manifest.dataset} are not scored "
            f"yet, first {store[missing[0]].id}.",
            "Run the remaining shards with the same checkpoint and settings.",
        )
    ordered = [entries[index] for index in range(len(store))]
    rows = [row for _, row, _ in ordered]
    table = out / "per_image.parquet"
    write_rows(table, rows)
    if timings is not None:
        write_timings(timings, [timing for _, _, timing in ordered])
    summary = _summary(store.manifest, protocol, settings, rows, sha256_file(table))
    write_json(out / "summary.json", summary.to_dict())
    journal.remove()
    return summary


def _key(store: Store, protocol: Protocol, settings: Settings) -> str:
    return sha256_json(
        {
            "version": __version__,
            "data": store.manifest.digest,
            "protocol": protocol.digest,
            "checkpoint": settings.checkpoint_sha256,
            "ratio": settings.ratio,
            "tile": settings.tile,
            "keep": settings.keep_images,
        }
    )


def _summary(
    manifest: Any, protocol: Protocol, settings: Settings, rows: list[Row], table_sha256: str
) -> EvaluationSummary:
    complete = bool(manifest.complete) and len(rows) == manifest.published_count
    state: State = "measured" if complete else "partial"
    if not protocol.scores_locally:
        state = "waiting for the server"
    return EvaluationSummary(
        profile=manifest.profile,
        dataset=manifest.dataset,
        task=manifest.task,
        variant=settings.variant,
        row=settings.row,
        ratio=settings.ratio,
        images=len(rows),
        published_images=manifest.published_count,
        complete=complete,
        state=state,
        data_digest=manifest.digest,
        checkpoint_sha256=settings.checkpoint_sha256,
        protocol=protocol.name,
        protocol_version=protocol.version,
        parity=settings.tile is None,
        psnr=finite(mean(row.psnr for row in rows)),
        ssim=finite(mean(row.ssim for row in rows)),
        input_psnr=finite(mean(row.input_psnr for row in rows)),
        input_ssim=finite(mean(row.input_ssim for row in rows)),
        per_image_sha256=table_sha256,
    )


@dataclass(frozen=True)
class _Read:
    index: int
    id: str
    degraded: Array
    target: Array | None
    seconds: float


@dataclass(frozen=True)
class _Work:
    """The three steps of one image; `_stream` lets them overlap."""

    network: Network
    store: Store
    protocol: Protocol
    out: Path
    settings: Settings

    def read(self, index: int) -> _Read:
        start = time.perf_counter()
        record = self.store[index]
        target = None if record.target is None else np.asarray(record.target)
        if self.protocol.channels == 1:
            if target is None:
                raise DataError(f"{record.id} has no target image.", "Prepare the set again.")
            degraded = opencv_luma(target)
        elif record.input is None:
            raise DataError(f"{record.id} has no input image.", "Prepare the set again.")
        else:
            degraded = np.asarray(record.input)
        if self.protocol.scores_locally and target is None:
            raise DataError(f"{record.id} has no target image.", "Prepare the set again.")
        return _Read(index, record.id, degraded, target, time.perf_counter() - start)

    def restore(self, read: _Read) -> tuple[Array, Array | None, float]:
        start = time.perf_counter()
        tile = self.settings.tile
        if tile is None and self.protocol.tile is None:
            require_memory(self.network, read.degraded.shape, read.id)
        try:
            restored = restore_image(
                self.network,
                read.degraded,
                self_ensemble=self.protocol.self_ensemble,
                blocks=self.protocol.tile,
                tile=tile,
            )
        except EvaluationError as error:
            raise EvaluationError(f"{read.id}: {error.message}", error.mend) from error
        return restored, self._baseline(read), time.perf_counter() - start

    def _baseline(self, read: _Read) -> Array | None:
        """The degraded input as the protocol scores it; for sampling, Phi^T y."""
        if self.protocol.channels == 3:
            return read.degraded
        operator = getattr(self.network, "operator", None)
        if operator is None or self.protocol.tile is None:
            return None
        luma = to_tensor(read.degraded).to(device_of(self.network))
        with torch.inference_mode():
            x0 = in_blocks(lambda y: operator.adjoint(operator(y)), luma, self.protocol.tile)
        return np.ascontiguousarray(x0[0].permute(1, 2, 0).cpu().numpy())

    def score(self, read: _Read, restored: Array, baseline: Array | None, seconds: float) -> Entry:
        start = time.perf_counter()
        scored = self.protocol.quantise(restored)
        quality, given = self._score(scored, read), None
        if baseline is not None:
            if baseline.dtype == np.uint8:
                baseline = np.asarray(baseline / np.float32(255), np.float32)
            given = self._score(self.protocol.quantise(baseline), read)
        self._keep(read, scored, restored)
        row = Row(
            id=read.id,
            psnr=quality.psnr if quality else None,
            ssim=quality.ssim if quality else None,
            input_psnr=given.psnr if given else None,
            input_ssim=given.ssim if given else None,
            protocol=self.protocol.name,
            protocol_version=self.protocol.version,
            height=restored.shape[0],
            width=restored.shape[1],
            restored_sha256=array_sha256(scored),
        )
        took = time.perf_counter() - start
        return read.index, row, Timing(read.id, read.seconds, seconds, took)

    def _score(self, scored: Array, read: _Read) -> Score | None:
        if read.target is None or not self.protocol.scores_locally:
            return None
        try:
            return self.protocol.score(scored, read.target)
        except EvaluationError as error:
            raise EvaluationError(f"{read.id}: {error.message}", error.mend) from error

    def _keep(self, read: _Read, scored: Array, restored: Array) -> None:
        if read.index < self.settings.keep_images:
            picture = round_to_uint8(restored)
            picture = picture[..., 0] if picture.shape[2] == 1 else picture
            with atomic_path(self.out / "restored" / f"{read.id.replace('/', '__')}.png") as path:
                Image.fromarray(picture).save(path)


def _stream(work: _Work, indices: list[int]) -> Iterator[Entry]:
    """Entries in order: the next images are read and the last ones scored during a restoration."""
    reads: deque[Future[_Read]] = deque()
    scores: deque[Future[Entry]] = deque()
    waiting = deque(indices)
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(2) as scorers:
        try:
            while waiting or reads:
                while waiting and len(reads) < _AHEAD:
                    reads.append(reader.submit(work.read, waiting.popleft()))
                read = reads.popleft().result()
                restored, baseline, seconds = work.restore(read)
                scores.append(scorers.submit(work.score, read, restored, baseline, seconds))
                while len(scores) > _AHEAD or (scores and scores[0].done()):
                    yield scores.popleft().result()
            while scores:
                yield scores.popleft().result()
        finally:
            for read_ahead in reads:
                read_ahead.cancel()
            for unscored in scores:
                unscored.cancel()
