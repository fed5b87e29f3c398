"""Evaluations read back: all that can be computed again is, and must agree with the files.

Not detected: rows of ``per_image.parquet`` that were changed together with the digest and the means
in ``summary.json``. That takes a signature, or restoring the images again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from dgunet.data.catalogue.entries import CATALOGUE, FURTHER
from dgunet.evaluation.file_fields import check_fields
from dgunet.evaluation.folder_turns import ROWS
from dgunet.evaluation.protocols import PROTOCOLS
from dgunet.evaluation.rows import AGAIN, PSNR_RANGE, SSIM_RANGE, Row, mean, parse_rows
from dgunet.evaluation.summary import SELECTION, Digest, EvaluationSummary, Word, finite
from dgunet.system.errors import DataError, EvaluationError
from dgunet.system.files import sha256_bytes
from dgunet.system.reading import read_bytes, read_mapping, shorten
from dgunet.terms import EvaluationState, Profile, Task, Variant

SUMMARY, TABLE = "summary.json", "per_image.parquet"

SUMMARY_BYTES = 1 << 20

Psnr = Annotated[FiniteFloat, Field(ge=PSNR_RANGE[0], le=PSNR_RANGE[1])] | None
Ssim = Annotated[FiniteFloat, Field(ge=SSIM_RANGE[0], le=SSIM_RANGE[1])] | None


class _SummaryFields(BaseModel):
    """Types and ranges of a summary's fields; `_differences` compares them with each other."""

    model_config = ConfigDict(strict=True, extra="forbid")

    profile: Profile
    dataset: Word
    task: Task
    variant: Variant
    row: Word
    ratio: Annotated[int, Field(ge=1, le=100)] | None
    images: int = Field(ge=1)
    published_images: int = Field(ge=1)
    complete: bool
    state: EvaluationState
    data_digest: Digest
    checkpoint_sha256: Digest | Literal[""]
    protocol: Word
    protocol_version: int = Field(ge=1)
    selection: str = Field(pattern=SELECTION)
    parity: bool
    psnr: Psnr
    ssim: Ssim
    input_psnr: Psnr
    input_ssim: Ssim
    per_image_sha256: Digest


def find_results(folder: Path) -> list[Path]:
    """Find the folders of finished evaluations in ``folder`` and below, itself included, in order.

    Raises:
        EvaluationError: for a per-image table without a summary, unless its evaluation is running
            or was killed.
    """
    found = {path.parent for path in folder.rglob(SUMMARY)}
    for table in folder.rglob(TABLE):
        if table.parent not in found and not (table.parent / ROWS).is_dir():
            raise EvaluationError(f"{table.parent / SUMMARY} is missing.", AGAIN)
    return sorted(found)


def read_result(folder: Path) -> EvaluationSummary:
    """Read the summary of the evaluation in ``folder`` and check it against its per-image table.

    The table must have the summary's digest, protocol, number of images and exactly its means. The
    state must follow from these, and the facts of the test set must be those of the catalogue.

    Raises:
        DataError: if there is no ``summary.json``.
        EvaluationError: naming the file, the field and both values.
    """
    return read_result_and_rows(folder)[0]


def read_result_and_rows(folder: Path) -> tuple[EvaluationSummary, list[Row]]:
    """As `read_result`, with the rows of the per-image table."""
    path, table = folder / SUMMARY, folder / TABLE
    summary = _summary(path)
    try:
        content = read_bytes(table, kind=EvaluationError)
    except FileNotFoundError:
        raise EvaluationError(f"{table} is missing, which {path} summarises.", AGAIN) from None
    if (digest := sha256_bytes(content)) != summary.per_image_sha256:
        raise EvaluationError(
            f"{path}: per_image_sha256 is {summary.per_image_sha256}, {table} has {digest}.", AGAIN
        )
    rows = parse_rows(content, str(table))
    for field, wanted, why in _differences(summary, rows):
        if (stated := getattr(summary, field)) != wanted:
            raise EvaluationError(
                f"{path}: {field} is {shorten(stated)}, {why} {shorten(wanted)}.", AGAIN
            )
    return summary, rows


def _summary(path: Path) -> EvaluationSummary:
    try:
        content = read_mapping(path, limit=SUMMARY_BYTES, kind=EvaluationError)
    except FileNotFoundError:
        raise DataError(f"{path} is missing.", "Evaluate that set first.") from None
    return check_summary(content, str(path))


def check_summary(content: dict[str, Any], origin: str) -> EvaluationSummary:
    """The summary in ``content``, each field of the right type and range.

    Raises:
        EvaluationError: naming ``origin``, the field and its value.
    """
    form = check_fields(_SummaryFields, content, origin, hint=AGAIN)
    return EvaluationSummary(**form.model_dump())


def _differences(summary: EvaluationSummary, rows: list[Row]) -> Iterator[tuple[str, Any, str]]:
    """(field, its only right value, the source of that value) for all that can be computed."""
    info = (CATALOGUE | FURTHER).get(summary.dataset)
    yield "dataset", info.name if info else None, "which the catalogue does not know:"
    assert info is not None
    yield "task", info.task, "the catalogue has"
    yield "published_images", info.pairs, "the catalogue has"
    yield "protocol", info.protocol, "the catalogue has"
    if summary.row.startswith("DGUNet"):
        yield "row", summary.variant, "its variant is"
    ratio = (summary.ratio or "a ratio") if info.task == "cs" else None
    yield "ratio", ratio, f"a result of {info.task} has"
    yield "images", len(rows), f"{TABLE} has"
    for name in ("protocol", "protocol_version"):
        for value in {getattr(row, name) for row in rows}:
            yield name, value, f"{TABLE} has"
    for name in ("psnr", "ssim", "input_psnr", "input_ssim"):
        yield name, finite(mean(getattr(row, name) for row in rows)), f"the rows of {TABLE} give"
    whole = summary.profile == "paper" and len(rows) == info.pairs
    yield (
        "complete",
        summary.complete and whole,
        f"{len(rows)} images of profile {summary.profile} are",
    )
    state: EvaluationState = "measured" if summary.complete else "partial"
    if not PROTOCOLS[info.protocol].scores_locally:
        state = "waiting for the server"
    yield "state", state, "its other fields say"
    tiled = any(row.tile is not None for row in rows)
    yield "parity", summary.parity and not tiled, f"with tiles in {TABLE} it is"
    chosen = summary.selection.removeprefix("test-set ")
    known = chosen in CATALOGUE or not summary.selection.startswith("test-set ")
    yield "selection", summary.selection if known else None, "which names no set of the catalogue:"
