"""Scores of external results as an MLflow run: means, per-image table, dataset digest."""

import shutil

import mlflow
import pytest
from PIL import Image
from typer.testing import CliRunner

from dgunet.cli import command
from dgunet.system import files
from dgunet.tools.external_scoring import score_and_report
from dgunet.tracking.run import Run


def test_an_infinite_mean_is_no_metric_but_a_count(tmp_path, monkeypatch):
    """MLflow's database would keep the largest float in its place."""
    for side, values in (("restored", (7, 99)), ("target", (7, 101))):
        (tmp_path / side).mkdir()
        for name, value in zip("ab", values, strict=True):
            Image.new("RGB", (32, 32), (value, 40, value)).save(tmp_path / side / f"{name}.png")
    logged = {}
    monkeypatch.setattr(Run, "log_metrics", lambda self, values, *_, **__: logged.update(values))
    monkeypatch.setenv("DGUNET_HOME", str(tmp_path))
    score_and_report(tmp_path / "restored", tmp_path / "target", "gopro-rgb", name="one equal")
    assert {"images": 2, "identical": 1}.items() <= logged.items() and "psnr" not in logged
    words = [
        "score",
        str(tmp_path / "restored"),
        str(tmp_path / "target"),
        "--protocol",
        "gopro-rgb",
    ]
    shown = CliRunner().invoke(command(), words).output
    assert "inf dB" in shown and "(1 of 2 images equal the target: infinite PSNR)" in shown


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
