"""Scores of external results as an MLflow run: means, per-image table, dataset digest."""

import shutil

import mlflow
import pytest

from dgunet.system import files
from dgunet.tools.external_scoring import score_and_report


@pytest.mark.slow
def test_external_scoring_is_logged_as_a_run_with_its_table(sample_root, tmp_path, monkeypatch):
    monkeypatch.setenv("DGUNET_HOME", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "Rain100L"
    shutil.copytree(sample_root / "test" / "Rain100L", folder)
    whole = files.tree_digest(folder / "target")
    (folder / "target" / ".DS_Store").write_bytes(b"left behind")
    rows = score_and_report(folder / "input", folder / "target", "rain-y", name="degraded Rain100L")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("dgunet/scores")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.tags["data.digest"] == whole
    assert run.data.tags["protocol"] == "rain-y/1"
    assert run.data.metrics["images"] == len(rows)
    assert run.data.metrics["psnr"] == pytest.approx(sum(row.psnr for row in rows) / len(rows))
    paths = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    assert {"per_image.json", "per_image.parquet"} <= paths
    assert [each.dataset.name for each in run.inputs.dataset_inputs] == ["target"]
