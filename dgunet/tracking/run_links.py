"""The MLflow run that produced a result, for the metadata of a pipeline's artifacts."""

from __future__ import annotations

from pathlib import Path

from dgunet.tracking import lookup
from dgunet.tracking.home import TrackingFolders
from dgunet.tracking.ui_links import run_url


def mlflow_run_facts(sha256: str, home: Path | None = None) -> dict[str, str]:
    """Id and address of the MLflow run that produced the result with this digest; {} if unknown.

    Args:
        sha256: digest of the result, as ``Run.set_result`` recorded it.
        home: the project folder; default: `project_home`.
    """
    info = lookup(sha256, home)
    if info is None or info.run_id is None:
        return {}
    return {
        "mlflow_run_id": info.run_id,
        "mlflow_run_url": run_url(info, TrackingFolders.at(home)) or "",
    }
