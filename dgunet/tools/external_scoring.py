"""Scoring of any method's restored images under one of the paper's protocols, as an MLflow run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from dgunet.evaluation.protocols import protocol
from dgunet.evaluation.result_pairs import Inputs
from dgunet.evaluation.rows import Row, count_infinite, mean, write_rows
from dgunet.evaluation.scoring import score_results
from dgunet.evaluation.summary import finite
from dgunet.project import EXPERIMENTS
from dgunet.system import files
from dgunet.system.hidden_files import is_hidden
from dgunet.terms import DATA_TAG, PROTOCOL_TAG, RunTags
from dgunet.tracking import start_run


def score_and_report(
    restored: Path,
    target: Path,
    protocol_name: str,
    *,
    name: str,
    partial: bool = False,
    inputs: Inputs | None = None,
    on_row: Callable[[Row], None] = lambda row: None,
    note: Callable[[str], None] = lambda line: None,
) -> list[Row]:
    """Score ``restored`` against ``target``; log means, per-image table and digests to MLflow.

    Args:
        restored: folder of images, or a SIDD ``.mat`` file.
        target: folder of targets, or SIDD's ground truth.
        protocol_name: a name of `dgunet.evaluation.protocols`.
        name: name of the run.
        partial: accept targets without a restored image.
        inputs: range, pairs and variable as the user states them.
        on_row: called after each image.
        note: called with one line for each folder in which files are left out.

    Raises:
        EvaluationError: if an image has no counterpart or cannot be scored.
    """
    rules = protocol(protocol_name)
    tags = RunTags("score").to_dict() | {
        PROTOCOL_TAG: f"{rules.name}/{rules.version}",
        DATA_TAG: _digest(target),
        "restored.digest": _digest(restored),
    }
    settings = {"protocol": rules.name, "protocol_version": rules.version}
    with (
        start_run(EXPERIMENTS["scores"], name, tags=tags, params=settings) as run,
        TemporaryDirectory() as scratch,
    ):
        run.log_dataset(
            target.name, tags[DATA_TAG], source_uri=target.as_posix(), context="evaluation"
        )
        rows = []
        for row in score_results(
            restored, target, rules, partial=partial, inputs=inputs, note=note
        ):
            rows.append(row)
            on_row(row)
        # No infinite mean: MLflow's database keeps the largest float in its place.
        psnr, ssim = (finite(mean(getattr(row, name) for row in rows)) for name in ("psnr", "ssim"))
        means = {"psnr": psnr, "ssim": ssim}
        run.log_metrics({key: value for key, value in means.items() if value is not None})
        identical = count_infinite(row.psnr for row in rows)
        run.log_metrics({"images": len(rows)} | ({"identical": identical} if identical else {}))
        run.log_table(pd.DataFrame([asdict(row) for row in rows]), "per_image.json")
        table = Path(scratch) / "per_image.parquet"
        write_rows(table, rows)
        run.log_artifact(table)
    return rows


def _digest(path: Path) -> str:
    if not path.is_dir():
        return files.sha256_file(path)
    return files.tree_digest(path, keep=lambda file: not is_hidden(file, path))
