"""Facts of a trained network for the outputs of a pipeline step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dgunet.kubeflow.steps.kept_models import keep_model_files
from dgunet.system import files
from dgunet.tracking.run_links import mlflow_run_facts


def describe_model(
    weights: Path, home: Path | None = None
) -> tuple[dict[str, str], dict[str, float]]:
    """Facts (checkpoint digest, model selection, MLflow run) and numbers of a finished training.

    Args:
        weights: in a folder with the ``training.json`` that `write_outcome` wrote.
        home: the project folder that the training used; default: that of this process.
    """
    content = json.loads((weights.parent / "training.json").read_text(encoding="utf-8"))
    facts = {key: value for key, value in content.items() if isinstance(value, str)}
    numbers = {key: value for key, value in content.items() if isinstance(value, int | float)}
    checkpoint = files.sha256_file(weights)
    return {"checkpoint_sha256": checkpoint, **facts, **mlflow_run_facts(checkpoint, home)}, numbers


def record_model(
    weights: Path,
    model: Any,
    metrics: Any,
    *,
    code_version: str,
    store: Any,
    home: Path | None = None,
) -> str:
    """Write what `describe_model` knows of ``weights`` to the outputs of a training step.

    The weights are also kept in the folder for stores, if there is one.

    Args:
        weights, home: as for `describe_model`.
        model: the step's ``dsl.Model``; its metadata also gets the two digests below.
        metrics: the step's ``dsl.Metrics``.
        code_version: of the code that trained.
        store: the step's ``dsl.Dataset`` with the prepared training set.

    Returns:
        The SHA-256 of the weights.
    """
    facts, numbers = describe_model(weights, home)
    model.metadata.update(facts, code_version=code_version, store_digest=store.metadata["digest"])
    for name, value in numbers.items():
        metrics.log_metric(name, value)
    return keep_model_files(weights, dict(model.metadata))
