"""Records of DND's mailed scores; every field is checked, since people may edit them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from dgunet.evaluation.dnd import ServerScore
from dgunet.evaluation.file_fields import check_fields
from dgunet.evaluation.summary import Digest, Word
from dgunet.system.errors import EvaluationError
from dgunet.system.files import sha256_file
from dgunet.system.reading import read_mapping
from dgunet.system.safe_paths import inside, safe_file_name
from dgunet.terms import Variant

SCORE_BYTES = 1 << 20

AGAIN = "Enter it again with `dgunet dnd record`."


class _ScoreFields(BaseModel):
    """Types and ranges of a record's fields."""

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
    """Read the mailed scores in ``folder``, one for each ``dnd-*.json``.

    The evidence is compared with its digest if it is next to its record; the pipeline steps have
    only the records.

    Raises:
        EvaluationError: naming the file and the field, for a file that is not a JSON object, an
            unknown or missing field, a value out of range, changed evidence, or two records of
            the same results.
    """
    scores: dict[str, ServerScore] = {}
    origins: dict[str, Path] = {}
    for path in sorted(folder.glob("dnd-*.json")):
        score = check_score(read_mapping(path, limit=SCORE_BYTES, kind=EvaluationError), str(path))
        evidence = inside(folder, score.evidence, origin=str(path), kind=EvaluationError)
        if evidence.is_file() and sha256_file(evidence) != score.evidence_sha256:
            raise EvaluationError(
                f"{path}: evidence_sha256 does not match {evidence}.", f"{AGAIN} Keep the mail."
            )
        key = score.per_image_sha256
        if key in scores:
            raise EvaluationError(
                f"{path} and {origins[key]} are scores of the same results.", "Keep one of them."
            )
        scores[key], origins[key] = score, path
    return list(scores.values())


def check_score(content: Mapping[str, Any], origin: str) -> ServerScore:
    """Check the fields of a score; ``origin`` is named in errors.

    Raises:
        EvaluationError: naming the first field that is missing, unknown or out of range.
    """
    score = ServerScore(**check_fields(_ScoreFields, content, origin, hint=AGAIN).model_dump())
    safe_file_name(score.evidence, origin=origin, kind=EvaluationError)
    return score
