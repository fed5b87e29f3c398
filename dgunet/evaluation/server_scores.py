"""The records of DND's mailed scores, read back: typed by people, so every field is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dgunet.evaluation.dnd import ServerScore
from dgunet.evaluation.summary import Digest, Word
from dgunet.system.errors import EvaluationError
from dgunet.system.files import sha256_file
from dgunet.system.reading import read_mapping, shorten, shorten_bare
from dgunet.system.safe_paths import inside, safe_file_name
from dgunet.terms import Variant

SCORE_BYTES = 1 << 20

MEND = "Enter it again with `dgunet dnd record`."


class _Form(BaseModel):
    """The fields of a record and their ranges; DND scores in sRGB lie well inside."""

    model_config = ConfigDict(strict=True, extra="forbid")

    row: Word
    variant: Variant
    psnr: Annotated[float, Field(gt=0.0, lt=100.0)]
    ssim: Annotated[float, Field(gt=0.0, le=1.0)]
    checkpoint_sha256: Digest
    data_digest: Digest
    per_image_sha256: Digest
    bundle_sha256: Digest
    evidence: str
    evidence_sha256: Digest


def read_scores(folder: Path) -> list[ServerScore]:
    """The mailed scores in ``folder``, one for each ``dnd-*.json``.

    The kept evidence is compared with its digest where it lies beside its record; a pipeline's
    step has the records alone.

    Raises:
        EvaluationError: naming the file and the field: no JSON object, an unknown or missing
            field, a value out of range, other evidence, or two records of the same results.
    """
    scores: dict[str, ServerScore] = {}
    origins: dict[str, Path] = {}
    for path in sorted(folder.glob("dnd-*.json")):
        score = check_score(read_mapping(path, limit=SCORE_BYTES, kind=EvaluationError), str(path))
        evidence = inside(folder, score.evidence, origin=str(path), kind=EvaluationError)
        if evidence.is_file() and sha256_file(evidence) != score.evidence_sha256:
            raise EvaluationError(
                f"{path}: evidence_sha256 is not that of {evidence}.", f"{MEND} Keep the mail."
            )
        key = score.per_image_sha256
        if key in scores:
            raise EvaluationError(
                f"{path} and {origins[key]} are scores of the same results.", "Keep one of them."
            )
        scores[key], origins[key] = score, path
    return list(scores.values())


def check_score(content: Mapping[str, Any], origin: str) -> ServerScore:
    """The score in ``content``; ``origin`` is named in errors.

    Raises:
        EvaluationError: naming the first field that is missing, unknown or out of range.
    """
    try:
        score = ServerScore(**_Form.model_validate(dict(content)).model_dump())
    except ValidationError as error:
        first = error.errors()[0]
        value = "" if first["type"] == "missing" else f" is {shorten(first['input'])}"
        raise EvaluationError(
            f"{origin}: {shorten_bare(str(first['loc'][0]))}{value}: {first['msg']}.", MEND
        ) from error
    safe_file_name(score.evidence, origin=origin, kind=EvaluationError)
    return score
