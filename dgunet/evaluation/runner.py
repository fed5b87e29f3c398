"""Evaluation of one network on one prepared test set: per-image rows, then their means."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from torch import nn

from dgunet.backends import backend_version
from dgunet.evaluation.dnd import box_is, bundle_boxes
from dgunet.evaluation.image_steps import (
    BOXES,
    ImageSteps,
    PreparedSet,
    Settings,
    stream,
)
from dgunet.evaluation.kept_images import kept_image_path, kept_indices
from dgunet.evaluation.metric_protocol import Protocol
from dgunet.evaluation.networks import Network
from dgunet.evaluation.row_journal import Note, RowJournal
from dgunet.evaluation.rows import Entry, Row, Timing, count_infinite, mean, write_rows
from dgunet.evaluation.summary import EvaluationSummary, finite
from dgunet.network.kernels import kernels
from dgunet.system import leftovers
from dgunet.system.errors import DataError, EvaluationError
from dgunet.system.files import (
    atomic_folder,
    sha256_file,
    sha256_json,
    sha256_source,
    tree_digest,
    write_json,
)
from dgunet.system.parts import Part
from dgunet.system.seals import write_seal
from dgunet.terms import EAGER, EvaluationState

CODE = ("evaluation", "network", "backends")

OnRow = Callable[[Row, int, int], None]


def _ignore(line: str) -> None:
    pass


def score_shard(
    network: Network,
    store: PreparedSet,
    protocol: Protocol,
    work: Path,
    settings: Settings,
    *,
    shard: tuple[int, int] = (0, 1),
    on_row: OnRow | None = None,
    note: Note = _ignore,
) -> None:
    """Score a shard; the caller or its parent process has locked the place of ``work``.

    Reading, restoring and scoring overlap; memory does not grow with the number of images. Rows
    of a killed run of the same evaluation are reused.

    Args:
        network: maps (1, C, H, W) in [0, 1] to the stage outputs, the result last.
        store: the prepared set.
        protocol: protocol of the set's column in the tables.
        work: folder of the unfinished evaluation, see `dgunet.evaluation.unfinished`; it receives
            the rows, the restored images from which the merge selects those to keep, and the boxes
            of DND.
        settings: settings of the evaluation; without a checkpoint's SHA-256 no row is reused.
        shard: ``(i, n)``: every n-th image from the i-th on.
        on_row: called as ``on_row(row, done, total)`` after each image, in order.
        note: called with one line for each damaged row of a killed run; its image is scored again.

    Raises:
        ValueError: for a shard number outside 0 to n - 1.
        DataError: for an empty set or a record without the image that the protocol needs.
        EvaluationError: when a result cannot be scored or an image does not fit into memory.
    """
    part, parts = shard
    if not 0 <= part < parts:
        raise ValueError(f"shard {part} of {parts} does not exist")
    _refuse_empty(store)
    journal = RowJournal(work, evaluation_key(store, protocol, settings), f"{part}-of-{parts}")
    if not settings.checkpoint_sha256:
        leftovers.remove(journal.path)
    steps = ImageSteps(network, store, protocol, work, settings)
    _score(steps, range(part, len(store), parts), journal, journal.entries(note), on_row, note)


def score_part(
    network: Network,
    store: PreparedSet,
    protocol: Protocol,
    work: Path,
    settings: Settings,
    part: Part,
    *,
    on_row: OnRow | None = None,
    note: Note = _ignore,
) -> None:
    """Score the images of one part; other parts may be scored into the same ``work`` meanwhile.

    As `score_shard`, but of a contiguous range, which is empty if there are more parts than images.
    `merge_rows` merges the rows of parts as those of shards.

    Args:
        part: which part of how many.

    Raises:
        DataError: as `score_shard`.
        EvaluationError: as `score_shard`.
    """
    _refuse_empty(store)
    key = evaluation_key(store, protocol, settings)
    journal = RowJournal(work, key, f"part-{part.number}-of-{part.count}")
    steps = ImageSteps(network, store, protocol, work, settings)
    _score(steps, part.of(len(store)), journal, journal.entries(note), on_row, note)


def _refuse_empty(store: PreparedSet) -> None:
    if not len(store):
        raise DataError(f"the prepared set {store.manifest.dataset} is empty.", "Prepare it again.")


def _score(
    steps: ImageSteps,
    mine: range,
    journal: RowJournal,
    done: Mapping[int, Entry],
    on_row: OnRow | None,
    note: Note,
) -> None:
    """Score the images ``mine`` that are not ``done`` and add their rows to ``journal``."""
    todo = [index for index in mine if not (index in done and _usable(steps, done[index], note))]
    if isinstance(steps.network, nn.Module):
        steps.network.eval()
    with kernels(steps.settings.kernels), journal.appending() as handle:
        for count, entry in enumerate(stream(steps, todo), start=len(mine) - len(todo) + 1):
            journal.append(handle, entry)
            if on_row is not None:
                on_row(entry[1], count, len(mine))


def _usable(steps: ImageSteps, entry: Entry, note: Note) -> bool:
    """Whether an earlier run's row belongs to the image at its index, and its kept files exist."""
    index, row, _ = entry
    name = steps.store[index].id
    if row.id != name or row.protocol != steps.protocol.name:
        note(f"{steps.work}: the row of {name} is for another image; it is scored again.")
        return False
    if steps.keeps(index) and not kept_image_path(steps.work, name).is_file():
        return False
    return steps.protocol.scores_locally or box_is(steps.work / BOXES, name, row.restored_sha256)


def count_done(
    store: PreparedSet,
    protocol: Protocol,
    work: Path,
    settings: Settings,
    note: Note = _ignore,
) -> int:
    """Number of images that the shards or parts of an evaluation in ``work`` have scored so far."""
    done = RowJournal(work, evaluation_key(store, protocol, settings), "").entries(note)
    return sum(index < len(store) for index in done)


def merge_rows(
    store: PreparedSet,
    protocol: Protocol,
    work: Path,
    out: Path,
    settings: Settings,
) -> tuple[EvaluationSummary, list[Timing]]:
    """Write the results from the journals of all shards; the caller has locked them.

    Replaces ``out`` as a whole by ``per_image.parquet``, ``summary.json`` and the kept images in
    ``restored`` (for DND also ``bundled/*.mat``), sealed, the same bytes for the same rows. Then
    removes ``work``.

    Returns:
        The summary, and the seconds by image in the order of the set. The seconds differ from run
        to run and are not in the files.

    Raises:
        EvaluationError: when images are missing, because a shard has not finished.
        DataError: if a restored box of DND was changed or is missing.
    """
    entries = RowJournal(work, evaluation_key(store, protocol, settings), "").entries()
    missing = [index for index in range(len(store)) if index not in entries]
    if missing:
        raise EvaluationError(
            f"{len(missing)} of {len(store)} images of {store.manifest.dataset} are not scored "
            f"yet; the first is {store[missing[0]].id}.",
            "Run the remaining shards with the same checkpoint and settings.",
        )
    ordered = [entries[index] for index in range(len(store))]
    rows = [row for _, row, _ in ordered]
    with atomic_folder(out) as made:
        table = made / "per_image.parquet"
        write_rows(table, rows)
        for index in kept_indices(rows, settings.keep_images):
            image = kept_image_path(made, rows[index].id)
            image.parent.mkdir(exist_ok=True)
            shutil.copyfile(kept_image_path(work, rows[index].id), image)
        if not protocol.scores_locally:
            boxes = {row.id: row.restored_sha256 for row in rows}
            bundle_boxes(work / BOXES, made / "bundled", boxes)
        summary = _summary(store.manifest, protocol, settings, rows, sha256_file(table))
        write_json(made / "summary.json", summary.to_dict())
        write_seal(made)
    leftovers.remove(work)
    return summary, [timing for _, _, timing in ordered]


@cache
def code_digest() -> str:
    """Digest of the code that determines a row; rows of other code are not reused."""
    package = Path(__file__).parents[1]
    return sha256_json(
        {name: tree_digest(package / name, "*.py", digest=sha256_source) for name in CODE}
    )


def evaluation_key(store: PreparedSet, protocol: Protocol, settings: Settings) -> str:
    """Digest of all that determines the rows; those of another evaluation are not reused."""
    return sha256_json(
        {
            "code": code_digest(),
            "data": store.manifest.digest,
            "protocol": protocol.digest,
            "checkpoint": settings.checkpoint_sha256,
            "ratio": settings.ratio,
            "keep": settings.keep_images,
            "kernels": settings.kernels,
            "backend": backend_version(settings.backend),
        }
    )


def _summary(
    manifest: Any, protocol: Protocol, settings: Settings, rows: list[Row], table_sha256: str
) -> EvaluationSummary:
    complete = bool(manifest.complete) and len(rows) == manifest.published_count
    state: EvaluationState = "measured" if complete else "partial"
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
        selection=settings.selection,
        weights=settings.weights,
        training_digest=settings.training_digest,
        parity=settings.faithful and settings.backend == EAGER,
        psnr=finite(mean(row.psnr for row in rows)),
        ssim=finite(mean(row.ssim for row in rows)),
        input_psnr=finite(mean(row.input_psnr for row in rows)),
        input_ssim=finite(mean(row.input_ssim for row in rows)),
        per_image_sha256=table_sha256,
        backend=backend_version(settings.backend),
        identical=count_infinite(row.psnr for row in rows),
        identical_inputs=count_infinite(row.input_psnr for row in rows),
    )
