"""The MLflow run behind a digest, for the metadata of a pipeline's artifacts."""

from __future__ import annotations

from dgunet.tracking import lookup, project_home
from dgunet.tracking.run_selection import run_url


def run_of(key: str) -> dict[str, str]:
    """Id and address of the MLflow run behind a digest, for an artifact's metadata."""
    info = lookup(key, project_home())
    if info is None or info.run_id is None:
        return {}
    return {"mlflow_run_id": info.run_id, "mlflow_run_url": run_url(info) or ""}
