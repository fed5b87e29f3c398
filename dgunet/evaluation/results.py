"""Checked reading of evaluations: every field that can be recomputed must agree with the files.

The seal covers what cannot be recomputed, such as the restored images. Not detected: rows of
``per_image.parquet`` that were changed together with the digest and the means in ``summary.json``,
and with the seal. That would take a signature, or restoring the images again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from dgunet.data.catalogue.entries import CATALOGUE, FURTHER
from dgunet.evaluation.file_fields import check_fields
from dgunet.evaluation.protocols import PROTOCOLS
from dgunet.evaluation.rows import (
    AGAIN,
    PSNR_RANGE,
    SSIM_RANGE,
    Row,
    count_infinite,
    mean,
    parse_rows,
)
from dgunet.evaluation.summary import SELECTION, Digest, EvaluationSummary, Word, finite
from dgunet.system.errors import DataError, EvaluationError
from dgunet.system.files import sha256_bytes
from dgunet.system.reading import read_bytes, read_mapping, shorten
from dgunet.system.seals import check_seal
from dgunet.terms import EAGER, EvaluationState, Profile, Task, Variant, Weights

SUMMARY, TABLE = "summary.json", "per_image.parquet"

SUMMARY_BYTES = 1 << 20

Psnr = Annotated[FiniteFloat, Field(ge=PSNR_RANGE[0], le=PSNR_RANGE[1])] | None
Ssim = Annotated[FiniteFloat, Field(ge=SSIM_RANGE[0], le=SSIM_RANGE[1])] | None


_COUNTS = (("identical", "psnr"), ("identical_inputs", "input_psnr"))
"""Fields that count the rows whose score is infinite."""


class _SummaryFields(BaseModel):
    """Types and ranges of a summary's fields; `_expected` gives their relations."""

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
    weights: Weights
    training_digest: Digest | Literal[""]
    parity: bool
    psnr: Psnr
    ssim: Ssim
    input_psnr: Psnr
    input_ssim: Ssim
    per_image_sha256: Digest
    backend: Word = EAGER
    identical: int = Field(0, ge=0)
    identical_inputs: int = Field(0, ge=0)


def find_results(folder: Path) -> list[Path]:
    """Find the folders of finished evaluations in ``folder`` and below, itself included, in order.

    Raises:
        EvaluationError: for a per-image table without a summary.
    """
    found = {path.parent for path in folder.rglob(SUMMARY)}
    for table in folder.rglob(TABLE):
        if table.parent not in found:
            raise EvaluationError(f"{table.parent / SUMMARY} is missing.", AGAIN)
    return sorted(found)


def read_result(folder: Path, *, sealed: bool = True) -> EvaluationSummary:
    """Read the summary of the evaluation in ``folder`` and check it against its per-image table.

    The table must have the digest, the protocol, the number of images and exactly the means that
    the summary states. The state must follow from these, and the facts of the test set must be
    those of the catalogue. Every file of the folder must be as it was sealed; all are read.

    Args:
        folder: folder of the evaluation.
        sealed: check the seal too.

    Raises:
        DataError: if there is no ``summary.json``.
        EvaluationError: naming the file, the field and both values; if a file was changed or
            added, or there is no seal, with the name of the result.
    """
    return read_result_and_rows(folder, sealed=sealed)[0]


def read_result_and_rows(
    folder: Path, *, sealed: bool = True
) -> tuple[EvaluationSummary, list[Row]]:
    """As `read_result`, with the rows of the per-image table."""
    path, table = folder / SUMMARY, folder / TABLE
    summary = _summary(path)
    try:
        content = read_bytes(table, kind=EvaluationError)
    except FileNotFoundError:
        raise EvaluationError(f"{table} is missing, but {path} exists.", AGAIN) from None
    if (digest := sha256_bytes(content)) != summary.per_image_sha256:
        raise EvaluationError(
            f"{path}: per_image_sha256 is {summary.per_image_sha256}; {table} has {digest}.", AGAIN
        )
    rows, tiled = parse_rows(content, str(table))
    # Results from before identical images were counted lack the counts.
    counts = {name: count_infinite(getattr(row, of) for row in rows) for name, of in _COUNTS}
    summary = replace(
        summary,
        identical=summary.identical or counts["identical"],
        identical_inputs=summary.identical_inputs or counts["identical_inputs"],
    )
    for field, wanted, reason in _expected(summary, rows, tiled):
        if (stated := getattr(summary, field)) != wanted:
            raise EvaluationError(
                f"{path}: {field} is {shorten(stated)}; {reason.format(shorten(wanted))}.", AGAIN
            )
    if sealed:  # at the end, because the other checks name the field
        check_sealed(folder, summary)
    return summary, rows


def check_sealed(folder: Path, summary: EvaluationSummary) -> None:
    """Compare the evaluation in ``folder`` with its seal.

    Args:
        folder: folder of the evaluation.
        summary: what `read_result` gave, whose digest the per-image table has: the table is not
            read again.

    Raises:
        EvaluationError: naming the result and the first file that was changed, removed or added,
            or if there is no seal.
    """
    known = {TABLE: summary.per_image_sha256}
    check_seal(folder, again=AGAIN, kind=EvaluationError, known=known, what=summary.name)


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


def _expected_scores(rows: list[Row]) -> Iterator[tuple[str, Any, str]]:
    """As `_expected`, for the means and the numbers of infinite scores."""
    for name in ("psnr", "ssim", "input_psnr", "input_ssim"):
        average = finite(mean(getattr(row, name) for row in rows))
        yield name, average, f"the rows of {TABLE} give {{}}"
    for name, score in _COUNTS:
        count = count_infinite(getattr(row, score) for row in rows)
        yield name, count, f"of the rows of {TABLE}, {{}} have an infinite {score}"


def _expected(
    summary: EvaluationSummary, rows: list[Row], tiled: bool
) -> Iterator[tuple[str, Any, str]]:
    """Name, expected value and reason (``{}``: the value) of each field that can be recomputed."""
    info = (CATALOGUE | FURTHER).get(summary.dataset)
    yield "dataset", info.name if info else None, "it is not in the catalogue"
    assert info is not None
    for name, value in (
        ("task", info.task),
        ("published_images", info.pairs),
        ("protocol", info.protocol),
    ):
        yield name, value, "the catalogue has {}"
    if summary.row.startswith("DGUNet"):
        yield "row", summary.variant, "its variant is {}"
    if info.task == "cs":
        yield "ratio", summary.ratio or "a ratio", "a result of cs has one"
    else:
        yield "ratio", None, f"a result of {info.task} has none"
    yield "images", len(rows), f"{TABLE} has {{}}"
    for name in ("protocol", "protocol_version"):
        for value in {getattr(row, name) for row in rows}:
            yield name, value, f"{TABLE} has {{}}"
    yield from _expected_scores(rows)
    whole = summary.profile != "sample" and len(rows) == info.pairs
    yield (
        "complete",
        summary.complete and whole,
        f"for {len(rows)} images of the profile {summary.profile} it must be {{}}",
    )
    state: EvaluationState = "measured" if summary.complete else "partial"
    if not PROTOCOLS[info.protocol].scores_locally:
        state = "waiting for the server"
    yield "state", state, "its other fields give {}"
    trained = summary.weights == "trained"
    yield "training_digest", summary.training_digest if trained else "", "its weights give {}"
    yield "parity", summary.parity and not tiled, f"with tiles in {TABLE} it must be {{}}"
    eager = summary.backend == EAGER
    yield "parity", summary.parity and eager, f"for the backend {summary.backend} it must be {{}}"
    chosen = summary.selection.removeprefix("test-set ")
    known = chosen in CATALOGUE or not summary.selection.startswith("test-set ")
    yield "selection", summary.selection if known else None, "the catalogue has no such test set"
