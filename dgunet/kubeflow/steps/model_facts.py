"""Facts of a trained network for the outputs of a pipeline step."""

from __future__ import annotations

import json
from pathlib import Path

from dgunet.system import files
from dgunet.tracking.run_links import run_of


def describe_model(weights: Path) -> tuple[dict[str, str], dict[str, float]]:
    """Digest, model selection and MLflow run of a finished training, and its numbers.

    ``weights`` are in the same folder as the ``training.json`` of `write_outcome`.
    """
    content = json.loads((weights.parent / "training.json").read_text(encoding="utf-8"))
    facts = {key: value for key, value in content.items() if isinstance(value, str)}
    numbers = {key: value for key, value in content.items() if isinstance(value, int | float)}
    checkpoint = files.sha256_file(weights)
    return {"checkpoint_sha256": checkpoint, **facts, **run_of(checkpoint)}, numbers
