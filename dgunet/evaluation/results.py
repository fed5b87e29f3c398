"""An evaluation read back: everything that can be computed again is, and must be what it says.

What this cannot notice: a ``per_image.parquet`` whose rows were changed together with the digest
and the means in ``summary.json``. Only a signature, or restoring the images again, could.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from dgunet.data.catalogue.entries import CATALOGUE, FURTHER
from dgunet.evaluation.protocols import PROTOCOLS
from dgunet.evaluation.rows import AGAIN, PSNR_RANGE, SSIM_RANGE, Row, mean, parse_rows
from dgunet.evaluation.summary import SELECTION, Digest, EvaluationSummary, Word, finite
from dgunet.system.errors import DataError, EvaluationError
from dgunet.system.files import sha256_bytes
from dgunet.system.reading import read_bytes, read_mapping, shorten, shorten_bare
from dgunet.terms import EvaluationState, Profile, Task, Variant

SUMMARY, TABLE = "summary.json", "per_image.parquet"

SUMMARY_BYTES = 1 << 20

Psnr = Annotated[FiniteFloat, Field(ge=PSNR_RANGE[0], le=PSNR_RANGE[1])] | None
Ssim = Annotated[FiniteFloat, Field(ge=SSIM_RANGE[0], le=SSIM_RANGE[1])] | None


class _Form(BaseModel):
    """The fields of a summary, each by itself; `_differences` looks at them together."""

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
    """The folders of finished evaluations in ``folder`` and below, in order; itself included.

    Raises:
        EvaluationError: for a per-image table whose summary is gone (one whose evaluation is under
            way has rows beside it).
    """
    found = {path.parent for path in folder.rglob(SUMMARY)}
    for table in folder.rglob(TABLE):
        if table.parent not in found and not (table.parent / ".rows").is_dir():
            raise EvaluationError(f"{table.parent / SUMMARY} is missing.", AGAIN)
    return sorted(found)


def read_result(folder: Path) -> EvaluationSummary:
    """The summary of the evaluation in ``folder``, checked against its per-image table.

    The table must have the digest that the summary names and hold the protocol, the number of
    images and exactly the means that the summary tells; the state must follow from these, and what
    is said of the test set must be what the catalogue says.

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
        raise EvaluationError(f"{table} is missing, and {path} rests on it.", AGAIN) from None
    if (digest := sha256_bytes(content)) != summary.per_image_sha256:
        raise EvaluationError(
            f"{path}: per_image_sha256 is {summary.per_image_sha256}, {table} has {digest}.", AGAIN
        )
    rows = parse_rows(content, str(table))
    for field, wanted, why in _differences(summary, rows):
        if (told := getattr(summary, field)) != wanted:
            raise EvaluationError(
                f"{path}: {field} is {shorten(told)}, {why} {shorten(wanted)}.", AGAIN
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
    try:
        return EvaluationSummary(**_Form.model_validate(content).model_dump())
    except ValidationError as error:
        first = error.errors()[0]
        field = shorten_bare(str(first["loc"][0]))
        value = "" if first["type"] == "missing" else f" is {shorten(first['input'])}"
        raise EvaluationError(f"{origin}: {field}{value}: {first['msg']}.", AGAIN) from error


def _differences(told: EvaluationSummary, rows: list[Row]) -> Iterator[tuple[str, Any, str]]:
    """(field, the only right value, where it comes from) for all that can be computed again."""
    info = (CATALOGUE | FURTHER).get(told.dataset)
    yield "dataset", info.name if info else None, "which the catalogue does not know:"
    assert info is not None
    yield "task", info.task, "the catalogue has"
    yield "published_images", info.pairs, "the catalogue has"
    yield "protocol", info.protocol, "the catalogue has"
    if told.row.startswith("DGUNet"):
        yield "row", told.variant, "its variant is"
    ratio = (told.ratio or "a ratio") if info.task == "cs" else None
    yield "ratio", ratio, f"a result of {info.task} has"
    yield "images", len(rows), f"{TABLE} has"
    for name in ("protocol", "protocol_version"):
        for value in {getattr(row, name) for row in rows}:
            yield name, value, f"{TABLE} has"
    for name in ("psnr", "ssim", "input_psnr", "input_ssim"):
        yield name, finite(mean(getattr(row, name) for row in rows)), f"the rows of {TABLE} give"
    whole = told.profile == "paper" and len(rows) == info.pairs
    yield "complete", told.complete and whole, f"{len(rows)} images of profile {told.profile} are"
    state: EvaluationState = "measured" if told.complete else "partial"
    if not PROTOCOLS[info.protocol].scores_locally:
        state = "waiting for the server"
    yield "state", state, "its other fields say"
    tiled = any(row.tile is not None for row in rows)
    yield "parity", told.parity and not tiled, f"with tiles in {TABLE} it is"
    chosen = told.selection.removeprefix("test-set ")
    known = chosen in CATALOGUE or not told.selection.startswith("test-set ")
    yield "selection", told.selection if known else None, "which names no set of the catalogue:"
