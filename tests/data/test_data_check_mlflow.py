"""The dataset check as an MLflow run: counts, tables, page and an unchanged exit status."""

import json

import mlflow
import pytest
from typer.testing import CliRunner

from dgunet.cli.data_commands import data


@pytest.mark.slow
def test_a_check_is_logged_as_a_run_with_tables_and_page(editable_copy, tmp_path, monkeypatch):
    monkeypatch.setenv("DGUNET_HOME", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("DGUNET_TRACKING", raising=False)
    root = editable_copy("test/Set11")
    editable_copy("test/BSD68")
    (root / "test/Set11/camera.tif").write_bytes(b"II")
    arguments = ["check", "Set11", "BSD68", "--root", str(root), "--mlflow", "spoilt"]
    result = CliRunner().invoke(data, arguments)
    assert result.exit_code == 1, result.output
    assert "camera.tif" in result.stdout

    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("dgunet/data")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "spoilt"
    assert run.data.tags["healthy"] == "no"
    assert run.data.metrics["Set11/errors"] == 1
    assert run.data.metrics["BSD68/errors"] == 0
    assert run.data.metrics["BSD68/pairs"] == 3
    assert [item.dataset.name for item in run.inputs.dataset_inputs] == ["BSD68"]
    paths = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    assert {"sets.json", "findings.json", "overlaps.json", "data-check.html"} <= paths
    folder = client.download_artifacts(run.info.run_id, "", str(tmp_path))
    findings = json.loads((tmp_path / "findings.json").read_text())
    assert any("camera.tif" in str(row) for row in findings["data"])
    assert "camera.tif" in (tmp_path / "data-check.html").read_text(), folder
