"""The trainings and runs behind evaluations, found by the SHA-256 of what they made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dgunet.evaluation.summary import EvaluationSummary
from dgunet.project import model_key
from dgunet.system.files import sha256_file
from dgunet.terms import ABLATIONS
from dgunet.tracking.home import TrackingFolders
from dgunet.tracking.index import RunInfo, delivered, pending


def training_folder(result: Path, summary: EvaluationSummary) -> Path | None:
    """The folder of the training that made the weights of an evaluation.

    It is looked for in the folders above the evaluation. None if it is not there, or its weights
    are others now.
    """
    for folder in _places(result, summary):
        weights = folder / "network.safetensors"
        try:
            if sha256_file(weights) == summary.checkpoint_sha256:
                return folder
        except OSError:
            continue
    return None


def _places(result: Path, summary: EvaluationSummary) -> Iterator[Path]:
    key = (
        f"ablation-{summary.row}"
        if summary.row in ABLATIONS
        else model_key(summary.task, summary.variant, summary.ratio)
    )
    for parent in result.resolve().parents:
        yield parent / "models" / "trained" / key


def runs_by_result(home: Path) -> dict[str, RunInfo]:
    """The latest run of a project that made each result, by the result's SHA-256."""
    store = TrackingFolders.at(home)
    return {
        digest: run
        for run in (*delivered(store), *pending(store))
        for digest in run.results.values()
    }
