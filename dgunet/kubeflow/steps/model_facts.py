"""Facts of a trained network for the outputs of a pipeline step."""

from __future__ import annotations

import json
from pathlib import Path

from dgunet.system import files
from dgunet.tracking.run_links import mlflow_run_facts


def describe_model(
    weights: Path, home: Path | None = None
) -> tuple[dict[str, str], dict[str, float]]:
    """Digest, choice and MLflow run of a finished training, and its numbers; for a step's outputs.

    Args:
        weights: in a folder with the ``training.json`` that `write_outcome` wrote.
        home: the project folder that the training used; default: the one of this process.
    """
    content = json.loads((weights.parent / "training.json").read_text(encoding="utf-8"))
    facts = {key: value for key, value in content.items() if isinstance(value, str)}
    numbers = {key: value for key, value in content.items() if isinstance(value, int | float)}
    checkpoint = files.sha256_file(weights)
    return {"checkpoint_sha256": checkpoint, **facts, **mlflow_run_facts(checkpoint, home)}, numbers
