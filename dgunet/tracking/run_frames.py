"""Runs as data frames, for notebooks and charts."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from dgunet.tracking.home import TrackingFolders
from dgunet.tracking.index import RunInfo
from dgunet.tracking.server import mlflow_store


def runs_frame(infos: Sequence[RunInfo]) -> pd.DataFrame:
    """One row per run: name, status, tags, parameters and last metrics; numeric text as numbers."""
    frame = pd.DataFrame([info.facts() for info in infos])
    for column in frame.columns:
        numbers = pd.to_numeric(frame[column], errors="coerce")
        if numbers.notna().sum() == frame[column].notna().sum():
            frame[column] = numbers
    return frame


def history(folders: TrackingFolders, infos: Sequence[RunInfo], key: str) -> pd.DataFrame:
    """The history of a metric in MLflow: columns ``name``, ``step`` and ``key``.

    Runs that MLflow does not have are omitted.
    """
    columns = ["name", "step", key]
    if not mlflow_store.has_store(folders):
        return pd.DataFrame(columns=columns)
    with mlflow_store.quiet_mlflow():
        client = mlflow_store.client(folders.uri)
        rows = [
            {"name": info.name, "step": point.step, key: point.value}
            for info in infos
            if info.run_id
            for point in client.get_metric_history(info.run_id, key)
        ]
    return pd.DataFrame(rows, columns=columns)
