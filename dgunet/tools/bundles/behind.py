"""The trainings and runs behind the evaluations of a bundle: settings, curves, parameters."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dgunet.steps.tables import CheckedResult
from dgunet.steps.training_records import training_folder
from dgunet.system import files
from dgunet.tracking.index import RunInfo

TRAINING = ("training.json", "loss.csv", "validation.csv")
"""What is copied of a training: its record and its curves."""

_LOCAL = ("journal", "experiment_id", "tracking_uri")
"""Facts about a run that mean nothing outside of the tracking store that has it."""


def copy_trainings(folder: Path, results: Iterable[CheckedResult]) -> dict[str, str]:
    """Copy record and curves of the trainings; return their folders by the weights' SHA-256.

    Weights whose training is not above the evaluation, such as released ones, have none.
    """
    places: dict[str, str] = {}
    for path, summary, _ in results:
        digest = summary.checkpoint_sha256
        if digest in places or (source := training_folder(path, summary)) is None:
            continue
        places[digest] = f"trainings/{digest}"
        (folder / places[digest]).mkdir(parents=True)
        for name in TRAINING:
            if (source / name).is_file():
                shutil.copyfile(source / name, folder / places[digest] / name)
    return places


def write_runs(folder: Path, results: Iterable[CheckedResult], runs: Mapping[str, RunInfo]) -> None:
    """Write ``runs.json``: the known runs that made the evaluations, their weights and datasets.

    Args:
        folder: the bundle.
        results: the evaluations.
        runs: the run that made a result, by the result's SHA-256.
    """
    made = {
        digest: None
        for _, summary, _ in results
        for digest in (summary.data_digest, summary.checkpoint_sha256, summary.per_image_sha256)
    }
    found = {run.journal: run for digest in made if (run := runs.get(digest)) is not None}
    files.write_json(folder / "runs.json", [_facts(run) for run in found.values()])


def _facts(run: RunInfo) -> dict[str, Any]:
    return {name: value for name, value in asdict(run).items() if name not in _LOCAL}
