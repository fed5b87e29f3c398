"""DND, whose targets only its server has: files for the upload, and records of mailed scores.

The server takes one MATLAB file per image, ``0001.mat`` to ``0050.mat``, each with the twenty
restored boxes as a cell array ``Idenoised``, ``israw`` and ``eval_version``.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from dgunet.evaluation.rows import array_sha256
from dgunet.imaging.arrays import Array
from dgunet.imaging.npy_files import read_npy
from dgunet.system.errors import DataError, EvaluationError
from dgunet.system.files import (
    atomic_folder,
    atomic_path,
    sha256_file,
    tree_digest,
    write_bytes,
    write_json,
)
from dgunet.system.reading import shorten

IMAGES, BOXES = 50, 20
_AGAIN = "Run the same evaluation again: it restores that box again."
_BOX = re.compile("([0-9]{1,9})_([0-9]{1,9})")
_HEADER = b"MATLAB 5.0 MAT-file, restored boxes of one DND image".ljust(116)


def write_box(folder: Path, record: str, restored: Array) -> None:
    """Keep one restored box until all are restored.

    Args:
        folder: the boxes of one evaluation.
        record: ``NNNN_BB``, image and box from 1.
        restored: float32 in [0, 1], shape (H, W, 3), not rounded.

    Raises:
        DataError: for a name that is not of the form ``NNNN_BB``.
    """
    _image_of(record)
    with atomic_path(folder / f"{record}.npy") as temporary:
        np.save(temporary, restored, allow_pickle=False)


def box_is(folder: Path, record: str, sha256: str) -> bool:
    """Whether ``folder`` has the box of ``record`` with this `array_sha256`."""
    try:
        return array_sha256(_read_box(folder / f"{record}.npy")) == sha256
    except DataError:
        return False


def bundle_boxes(boxes: Path, out: Path, records: Mapping[str, str]) -> None:
    """Write the server's files, either all or none.

    Args:
        boxes: folder that `write_box` filled.
        out: folder of ``NNNN.mat``; the same boxes give the same bytes.
        records: the `array_sha256` of each box, by record name.

    Raises:
        DataError: for a name that is not of the form ``NNNN_BB``, a box that is missing or was
            changed, or a gap in the numbers.
    """
    images: dict[str, list[str]] = {}
    for record in records:
        images.setdefault(_image_of(record), []).append(record)
    with atomic_folder(out) as work:
        for image, names in images.items():
            cells = np.empty(len(names), object)
            for index, name in enumerate(sorted(names, key=lambda n: int(n.partition("_")[2]))):
                if int(name.partition("_")[2]) != index + 1:
                    raise DataError(
                        f"image {image} of DND lacks box {index + 1}.", "Prepare the set again."
                    )
                path = boxes / f"{name}.npy"
                cells[index] = _read_box(path)
                if array_sha256(cells[index]) != records[name]:
                    raise DataError(f"the restored box {path} was changed.", _AGAIN)
            (work / f"{int(image):04d}.mat").write_bytes(_matlab(cells))


def _image_of(record: str) -> str:
    """``NNNN`` of a record ``NNNN_BB``."""
    if not (found := _BOX.fullmatch(record)):
        raise DataError(
            f"{shorten(record)} is not the name of a DND box.",
            "Names have the form NNNN_BB: image and box, both counted from 1.",
        )
    return found[1]


def _read_box(path: Path) -> Array:
    try:
        return np.asarray(read_npy(path, hint=_AGAIN), np.float32)
    except FileNotFoundError:
        raise DataError(f"the restored box {path} is missing.", _AGAIN) from None


def _matlab(cells: Array) -> bytes:
    buffer = io.BytesIO()
    content = {"Idenoised": cells, "israw": False, "eval_version": "1.0"}
    scipy.io.savemat(buffer, content)  # type: ignore[arg-type]  # streams are documented
    # scipy writes the current time into the text header.
    return _HEADER + buffer.getvalue()[len(_HEADER) :]


def zip_submission(evaluation: Path, out: Path) -> str:
    """Pack the bundled files of a finished evaluation for the upload.

    Args:
        evaluation: results of the DND evaluation, with ``bundled/``.
        out: the zip file; the same files give the same bytes.

    Returns:
        SHA-256 of the zip file.

    Raises:
        EvaluationError: unless all 50 files exist and hold 20 boxes each.
    """
    files = sorted((evaluation / "bundled").glob("*.mat"))
    expected = [f"{number:04d}.mat" for number in range(1, IMAGES + 1)]
    if [path.name for path in files] != expected:
        raise EvaluationError(
            f"{evaluation / 'bundled'} has {len(files)} files; the server takes {IMAGES}.",
            "Evaluate the whole DND set; a sample cannot be submitted.",
        )
    with atomic_path(out) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for path in files:
            if _boxes_in(path) != (1, BOXES):
                raise EvaluationError(
                    f"{path} does not hold {BOXES} boxes.", "Evaluate the whole DND set again."
                )
            archive.writestr(zipfile.ZipInfo(path.name), path.read_bytes())
    return sha256_file(out)


def _boxes_in(path: Path) -> tuple[int, ...]:
    try:
        shapes = {name: shape for name, shape, _ in scipy.io.whosmat(path)}
    except Exception as error:  # scipy's parser raises errors of any type
        raise EvaluationError(
            f"{path} is not a readable MATLAB file ({error}).", "Evaluate the whole DND set again."
        ) from error
    return tuple(shapes.get("Idenoised", ()))


@dataclass(frozen=True)
class ServerScore:
    """A score that DND's server mailed, bound to the evaluation and to its evidence.

    Attributes:
        row: the row of Table 3.
        variant: "DGUNet" or "DGUNet+".
        psnr: as mailed, in dB, on sRGB images.
        ssim: as mailed.
        checkpoint_sha256: of the weights that made the submission.
        data_digest: of the prepared set.
        per_image_sha256: of the evaluation's per-image table.
        bundle_sha256: over the bundled files.
        evidence: name of the kept file (the mail or a saved page).
        evidence_sha256: of that file.
    """

    row: str
    variant: str
    psnr: float
    ssim: float
    checkpoint_sha256: str
    data_digest: str
    per_image_sha256: str
    bundle_sha256: str
    evidence: str
    evidence_sha256: str


def record_score(
    evaluation: Path, summary: dict[str, Any], psnr: float, ssim: float, evidence: Path, out: Path
) -> ServerScore:
    """Record a mailed score in ``out``, with a copy of the evidence next to it.

    Args:
        evaluation: results of the DND evaluation, with ``bundled/``.
        summary: its ``summary.json``.
        psnr: as mailed, in dB.
        ssim: as mailed.
        evidence: the mail or page that states it.
        out: a ``.json`` file that belongs under version control.

    Raises:
        EvaluationError: for a sample or incomplete evaluation, impossible values, or evidence
            that is missing or empty.
    """
    if summary["protocol"] != "dnd-server":
        raise EvaluationError(
            f"{evaluation} was scored under {summary['protocol']}.",
            "Only a DND evaluation waits for the server.",
        )
    if summary["profile"] != "paper" or not summary["complete"]:
        raise EvaluationError(
            f"{evaluation} is {summary['images']} of {summary['published_images']} images, "
            f"profile {summary['profile']}.",
            "Only the complete real set can have a server's score.",
        )
    if not (0.0 < psnr < 100.0 and 0.0 < ssim <= 1.0):
        raise EvaluationError(
            f"a PSNR of {psnr} dB with an SSIM of {ssim} is impossible.",
            "Enter the values as mailed: a PSNR in dB from 0 to 100 and an SSIM up to 1.",
        )
    if not evidence.is_file() or not evidence.stat().st_size:
        raise EvaluationError(
            f"the evidence {evidence} is missing or empty.", "Save the server's mail to a file."
        )
    kept = out.with_suffix(f".evidence{evidence.suffix}")
    write_bytes(kept, evidence.read_bytes())
    score = ServerScore(
        row=summary["row"],
        variant=summary["variant"],
        psnr=psnr,
        ssim=ssim,
        checkpoint_sha256=summary["checkpoint_sha256"],
        data_digest=summary["data_digest"],
        per_image_sha256=summary["per_image_sha256"],
        bundle_sha256=tree_digest(evaluation / "bundled"),
        evidence=kept.name,
        evidence_sha256=sha256_file(kept),
    )
    write_json(out, asdict(score))
    return score


def apply_score(summary: dict[str, Any], score: ServerScore) -> dict[str, Any]:
    """The summary of a DND evaluation with its mailed score: state "measured".

    Raises:
        EvaluationError: when the score belongs to other weights, data or results.
    """
    for key in ("row", "variant", "checkpoint_sha256", "data_digest", "per_image_sha256"):
        if summary[key] != getattr(score, key):
            raise EvaluationError(
                f"the server's score belongs to {key} {getattr(score, key)}; "
                f"this evaluation has {summary[key]}.",
                "Submit the new results, or restore the evaluation that was submitted.",
            )
    return summary | {"psnr": score.psnr, "ssim": score.ssim, "state": "measured"}
