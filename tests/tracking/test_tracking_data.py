"""Datasets that MLflow can restore, and scores linked to their model and dataset."""

from __future__ import annotations

import json
import logging
import os
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import mlflow.data
import pytest
from mlflow.data import dataset_source_registry as registry

from dgunet import network
from dgunet.system import files
from dgunet.system.errors import DataError
from dgunet.tracking import TrackingFolders, start_run
from dgunet.tracking.dataset_inputs import dataset_source

DIGEST = "0123456789abcdef" * 4
ROOT = Path(__file__).parents[2]


@pytest.fixture
def dvc_project(project: TrackingFolders, monkeypatch: pytest.MonkeyPatch) -> TrackingFolders:
    """A DVC repository with one data folder and one stage that has run."""

    from dvc.repo import Repo

    # Its handlers write to the streams of the test that imported it first.
    monkeypatch.setattr(logging.getLogger("dvc"), "handlers", [])

    (project.home / "data/sample").mkdir(parents=True)
    (project.home / "data/sample/a.txt").write_text("rain")
    (project.home / "dvc.yaml").write_text(
        "stages:\n  prepare:\n    cmd: mkdir -p build/Rain && cp data/sample/a.txt build/Rain/\n"
        "    deps: [data/sample]\n    outs: [build/Rain]\n"
    )
    monkeypatch.chdir(project.home)
    repo = Repo.init(no_scm=True)
    repo.add("data")
    repo.reproduce()
    return project


def test_the_dvc_dataset_source_is_an_entry_point() -> None:
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    ((name, value),) = points["mlflow.dataset_source"].items()
    found = EntryPoint(name, value, "mlflow.dataset_source").load()
    assert found._get_source_type() == "dvc"


def test_a_dataset_is_restored_from_the_run_that_used_it(
    dvc_project: TrackingFolders, client: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DVC_STAGE", "train")
    with start_run("dgunet/x", "n", tags={"profile": "sample"}, params={}, closing=True) as run:
        ref = run.log_dataset("Rain (sample)", DIGEST, "build/Rain", "training")
    (entry,) = client.get_run(run.run_id).inputs.dataset_inputs
    assert entry.dataset.digest == ref.digest and ref.digest.endswith(".dir")
    assert {tag.value for tag in entry.tags} == {DIGEST, "training"}
    from dgunet.tracking.dvc_source import DvcDatasetSource

    sources = [*registry._dataset_source_registry.sources, DvcDatasetSource]
    monkeypatch.setattr(registry._dataset_source_registry, "sources", sources)
    source = mlflow.data.get_source(entry.dataset)
    (dvc_project.home / "build/Rain/a.txt").unlink()
    folder = Path(source.load(str(tmp_path), str(dvc_project.home)))
    assert (folder / "a.txt").read_text() == "rain"
    assert source.to_json() == json.dumps(source.to_dict())
    (dvc_project.home / "dvc.lock").unlink()
    with pytest.raises(DataError, match="digest"):
        source.load(str(tmp_path / "other"), str(dvc_project.home))


def test_only_data_tracked_by_dvc_have_a_dvc_source(
    dvc_project: TrackingFolders, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = dvc_project.home
    by_hand = dataset_source(home, "build/Rain", DIGEST)
    assert (by_hand.kind, by_hand.to_dict()) == ("local", {"uri": str(home / "build/Rain")})
    pulled = dataset_source(home, "data/sample", DIGEST)
    assert (pulled.kind, pulled.out, pulled.whole) == ("dvc", "data", False)
    assert dataset_source(home, str(tmp_path), DIGEST).kind == "local"
    monkeypatch.setenv("DVC_STAGE", "train")
    assert dataset_source(home, "build/Rain", DIGEST).whole
    assert dataset_source(home, "build/Rainy", DIGEST).kind == "local"


def test_scores_are_linked_to_the_model_and_the_dataset(
    project: TrackingFolders, client: Any, tmp_path: Path
) -> None:
    tiny = network.preset("derain", n_feat=8, scale=4, stages=3)
    weights = tmp_path / "network.safetensors"
    network.save_network(network.DGUNet(tiny), weights, {})
    checkpoint = files.sha256_file(weights)
    with start_run("dgunet/table-1", "train", tags={"profile": "sample"}, params={}) as training:
        training.log_network(weights, "derain")
    with start_run("dgunet/table-1", "evaluate", tags={"profile": "sample"}, params={}) as run:
        ref = run.log_dataset("Rain100H (sample)", DIGEST, os.curdir, "evaluation")
        run.log_scores({"psnr": 31.5}, checkpoint=checkpoint, dataset=ref)
        run.log_scores({"psnr_elsewhere": 1.0}, checkpoint="0" * 64, dataset=ref)
    (output,) = client.get_run(training.run_id).outputs.model_outputs
    scored = client.get_run(run.run_id)
    assert [model.model_id for model in scored.inputs.model_inputs] == [output.model_id]
    assert scored.data.metrics == {"psnr": 31.5, "psnr_elsewhere": 1.0}
    (metric,) = client.get_logged_model(output.model_id).metrics
    assert (metric.key, metric.value, metric.run_id) == ("psnr", 31.5, run.run_id)
    assert (metric.dataset_name, metric.dataset_digest) == ("Rain100H (sample)", DIGEST[:36])
