"""The bundle of any method's restored images, scored under one protocol, and its verification."""

from __future__ import annotations

import csv
import io
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from dgunet.data.catalogue.entries import DatasetInfo, counted, dataset
from dgunet.evaluation.file_fields import check_fields
from dgunet.evaluation.protocols import PROTOCOLS, protocol
from dgunet.evaluation.result_pairs import Inputs, PairLoader, find_pairs
from dgunet.evaluation.results import SUMMARY, TABLE, Psnr, Ssim
from dgunet.evaluation.rows import (
    Row,
    array_sha256,
    mean,
    parse_rows,
    write_rows,
    write_rows_csv,
)
from dgunet.evaluation.scoring import as_scored
from dgunet.evaluation.summary import Digest, Word, finite
from dgunet.system import files
from dgunet.system.errors import EvaluationError
from dgunet.system.reading import read_json, read_mapping, read_text
from dgunet.tools.bundles.rescoring import Scored, ScoredImages, rescoring_faults
from dgunet.tools.bundles.sealing import new_bundle

PAIRS, TARGETS = "pairs.csv", "targets.csv"
AGAIN = "Score the images again with `dgunet score ... --bundle`."


class _ScoreSummary(BaseModel):
    """Types and ranges of the fields of a summary of scores."""

    model_config = ConfigDict(strict=True, extra="forbid")

    dataset: Word | None
    protocol: Word
    protocol_version: int = Field(ge=1)
    images: int = Field(ge=1)
    published_images: Annotated[int, Field(ge=1)] | None
    complete: bool
    psnr: Psnr
    ssim: Ssim
    value_range: Literal["0..1", "0..255", "-1..1", "0..65535"] | None
    variable: str | None
    per_image_sha256: Digest


def bundle_scores(
    rows: Sequence[Row],
    restored: Path,
    target: Path,
    out: Path,
    *,
    test_set: str | None = None,
    inputs: Inputs | None = None,
    key: Path | None = None,
) -> None:
    """Write the scores of restored images as a sealed bundle; it has no images.

    Args:
        rows: as `dgunet.evaluation.scoring.score_results` gives them.
        restored, target, inputs: that were scored.
        out: a new folder, or a new file whose name ends in ``.zip``.
        test_set: name of the test set, of which all images must have been scored, or None.
        key: PEM file of the Ed25519 key that signs it.

    Raises:
        DataError: for an unknown test set.
        EvaluationError: if not all images of the test set were scored, or under another protocol.
    """
    inputs, rules = inputs or Inputs(), protocol(rows[0].protocol)
    info = _whole_test_set(test_set, rules.name, len(rows)) if test_set else None
    name = test_set or "scores"
    with new_bundle(out, None, key) as draft:
        folder = draft.folder / "evaluations" / name
        folder.mkdir(parents=True)
        write_rows(folder / TABLE, rows)
        write_rows_csv(folder / "per_image.csv", rows)
        _write_targets(folder / TARGETS, restored, target, inputs, rows)
        if inputs.pairs is not None:
            shutil.copyfile(inputs.pairs, folder / PAIRS)
        summary: dict[str, Any] = {
            "dataset": test_set,
            "protocol": rules.name,
            "protocol_version": rules.version,
            "images": len(rows),
            "published_images": info.pairs if info else None,
            "complete": info is not None,
            "psnr": finite(mean(row.psnr for row in rows)),
            "ssim": mean(row.ssim for row in rows),
            "value_range": inputs.value_range,
            "variable": inputs.variable,
            "per_image_sha256": files.sha256_file(folder / TABLE),
        }
        files.write_json(folder / SUMMARY, summary)
        draft.title = f"Scores under {rules.name}/{rules.version}"
        draft.text = f"Scores of {len(rows)} restored images ({name}) under {rules.name}."
        draft.protocols = [rules.name]
        draft.private = (restored.resolve().parent, target.resolve().parent)
        draft.index = {"kind": "scores", "evaluations": [name], "weights": []}


def _whole_test_set(name: str, rules: str, images: int) -> DatasetInfo:
    """The entry of a test set; refuse another protocol or number of images than the published."""
    info = dataset(name)
    if rules != info.protocol:
        raise EvaluationError(
            f"{info.name} is scored under {info.protocol}, not {rules}.",
            f"Give --protocol {info.protocol}.",
        )
    if images != info.pairs:
        raise EvaluationError(
            f"{counted(info.name, images, info.pairs, 'images')} of {info.name}.",
            "Score all images of the published release, or leave out --dataset.",
        )
    return info


def _write_targets(
    path: Path, restored: Path, target: Path, inputs: Inputs, rows: Sequence[Row]
) -> None:
    """Write the hash of each scored target, as the protocol scores it."""
    rules, names = protocol(rows[0].protocol), {row.id for row in rows}
    loader = PairLoader(inputs)
    lines = ["id,target_sha256"]
    for pair in find_pairs(restored, target, partial=True, inputs=inputs):
        if pair.name in names:
            _, truth = loader.load(pair, rules.channels)
            lines.append(f"{_cell(pair.name)},{array_sha256(as_scored(truth, rules))}")
    files.write_text(path, "\n".join(lines) + "\n")


def _cell(text: str) -> str:
    """``text`` as a field of a CSV file."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([text])
    return line.getvalue()


def csv_faults(place: Path, name: str) -> Iterator[str]:
    """Compare the CSV file of an evaluation with its Parquet file."""
    rows, _ = parse_rows((place / TABLE).read_bytes(), f"{name}/{TABLE}")
    with tempfile.TemporaryDirectory() as temporary:
        write_rows_csv(Path(temporary, "rows.csv"), rows)
        wanted = Path(temporary, "rows.csv").read_text(encoding="utf-8").splitlines()
    lines = (place / "per_image.csv").read_text(encoding="utf-8").splitlines()
    if len(lines) != len(wanted):
        yield f"{name}: per_image.csv has {len(lines) - 1} images, {TABLE} {len(wanted) - 1}"
    for line, other in zip(lines, wanted, strict=False):
        if line != other:
            yield f"{name}: {line.split(',')[0]!r} differs in per_image.csv and {TABLE}"
            return


def protocol_faults(folder: Path) -> Iterator[str]:
    """Compare the protocol definitions of a bundle with those of this version of dgunet."""
    for one in read_json(folder / "protocols.json"):
        known = PROTOCOLS.get(one["name"])
        if known is None or known.version != one["version"]:
            yield f"protocols.json: this version of dgunet has no {one['name']}/{one['version']}"
        elif known.digest != one["digest"]:
            yield (
                f"protocols.json: {one['name']}/{one['version']} is defined otherwise than in this "
                "version of dgunet"
            )


def score_faults(
    folder: Path, images: ScoredImages | None, note: Callable[[str], None]
) -> Iterator[str]:
    """What is wrong with a bundle of scores beyond what ``verify.py`` finds.

    Args:
        folder: the bundle.
        images: the results and targets, to score them again, or None.
        note: called with a line about what was scored again.
    """
    for place in sorted((folder / "evaluations").iterdir()):
        name = place.relative_to(folder).as_posix()
        yield from csv_faults(place, name)
        content = read_mapping(place / SUMMARY)
        check_fields(_ScoreSummary, content, f"{name}/{SUMMARY}", hint=AGAIN)
        if content["dataset"] is not None and content["published_images"] != (
            dataset(content["dataset"]).pairs
        ):
            yield f"{name}: the catalogue has another number of images of {content['dataset']}"
        rows, _ = parse_rows((place / TABLE).read_bytes(), f"{name}/{TABLE}")
        if images is not None:
            pairs = place / PAIRS if (place / PAIRS).is_file() else None
            inputs = Inputs(content["value_range"], pairs, content["variable"])
            wanted = Scored(rows, _read_targets(place / TARGETS), content["protocol"], inputs)
            for fault in rescoring_faults(wanted, images, note):
                yield f"{name}: {fault}"


def _read_targets(path: Path) -> dict[str, str]:
    """SHA-256 of each scored target by the name of its image."""
    text = read_text(path)
    return {line["id"]: line["target_sha256"] for line in csv.DictReader(io.StringIO(text))}
