"""Tracking with a server for a team: PostgreSQL for the runs, S3 for the files.

Opt-in, because it needs Debian's PostgreSQL: ``apt-get install postgresql``, then
``DGUNET_INTEGRATION=1 pytest tests/tracking/test_tracking_postgres_s3.py``.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from test_tracking_server import Server

from dgunet import network
from dgunet.system import files
from dgunet.tools.model_promotion import register_trained
from dgunet.tracking import TrackingFolders, deliver, pending, start_run
from dgunet.tracking.registry import Registry
from dgunet.tracking.server import mlflow_store

sys.path.append(str(Path(__file__).parents[1] / "data"))
from data_bucket import KEY, SECRET, find_weed, s3_server
from data_bucket import client as s3_client
from tracking_postgres import find_postgres, postgres

WANTED = os.environ.get("DGUNET_INTEGRATION") == "1"
pytestmark = [
    pytest.mark.skipif(not WANTED, reason="opt-in: DGUNET_INTEGRATION=1"),
    pytest.mark.skipif(
        WANTED and not (find_postgres() and find_weed() and importlib.util.find_spec("psycopg2")),
        reason="needs PostgreSQL (apt-get install postgresql) and the extra 'integration'",
    ),
]
TINY: dict[str, Any] = {"n_feat": 8, "scale": 4, "stages": 3}


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an S3 server with the bucket ``mlflow``."""
    with s3_server(tmp_path_factory.mktemp("weed"), "mlflow") as url:
        yield url


@pytest.fixture(scope="module")
def server(bucket: str) -> Iterator[Server]:
    """An MLflow server with both stores; only the server has the S3 credentials."""
    folder = Path(tempfile.mkdtemp(prefix="dgunet-postgres-"))  # accessible to its user
    folder.chmod(0o755)
    credentials = {
        "MLFLOW_S3_ENDPOINT_URL": bucket,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with postgres(folder) as database:
        made = Server(folder, database, "s3://mlflow/runs", credentials)
        made.start()
        yield made
        made.kill()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def project(
    bare: TrackingFolders, server: Server, monkeypatch: pytest.MonkeyPatch
) -> TrackingFolders:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    return bare


def test_runs_models_and_files_can_be_stored_and_loaded(
    project: TrackingFolders,
    server: Server,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights = tmp_path / "network.safetensors"
    network.save_network(network.DGUNet(network.preset("derain", **TINY)), weights, {})
    checkpoint = files.sha256_file(weights)
    tags = {"stage": "train", "task": "derain", "profile": "sample", "variant": "DGUNet"}
    with start_run("dgunet/table-1", "train", tags=tags, params={"stages": 7}) as training:
        for step in range(50):
            training.log_metrics({"loss": 1 / (step + 1), "odd": float("nan")}, step=step)
        training.log_network(weights, "derain")
        training.set_result(checkpoint=checkpoint)
    with start_run("dgunet/table-1", "evaluate", tags={"profile": "sample"}, params={}) as run:
        ref = run.log_dataset("Rain100H (sample)", "0" * 64, ".", "evaluation")
        run.log_scores({"psnr": 31.5}, checkpoint=checkpoint, dataset=ref)
        run.log_table(pd.DataFrame({"id": ["a"], "psnr": [31.5]}), "per_image.json")
    assert not pending(project)

    client = mlflow_store.client(server.uri)
    assert len(client.get_metric_history(training.run_id, "loss")) == 50
    (output,) = client.get_run(training.run_id).outputs.model_outputs
    (metric,) = client.get_logged_model(output.model_id).metrics
    assert (metric.key, metric.value) == ("psnr", 31.5)
    experiment = client.get_run(run.run_id).info.experiment_id
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    mlflow.set_experiment(experiment_id=experiment)
    table = mlflow.load_table("per_image.json", run_ids=[run.run_id])
    assert table["psnr"].tolist() == [31.5]
    version = register_trained(Registry(project), "derain", profile="sample", variant="DGUNet")
    loaded = mlflow.pyfunc.load_model(f"models:/{version.name}@candidate")
    image = np.random.default_rng(0).random((1, 3, 20, 33), dtype=np.float32)
    assert loaded.predict(image).shape == image.shape
    kept = s3_client(bucket).list_objects_v2(Bucket="mlflow", Prefix="runs/")["Contents"]
    names = [entry["Key"] for entry in kept]
    assert any(name.endswith("per_image.json") for name in names)
    assert any(name.endswith("network.safetensors") for name in names)


def test_killing_the_server_during_delivery_neither_loses_nor_duplicates_data(
    project: TrackingFolders, server: Server, bucket: str
) -> None:
    parts = [f"part {n}.txt" for n in range(30)]

    def arrived() -> list[str]:
        found = s3_client(bucket).list_objects_v2(Bucket="mlflow", Prefix="runs/")
        return [e["Key"] for e in found.get("Contents", ()) if "part " in e["Key"]]

    def kill_after_some() -> None:
        while len(arrived()) < 5:
            time.sleep(0.01)
        server.kill()

    with start_run("dgunet/x", "long", tags={"profile": "sample"}, params={}) as run:
        run.flush()
        for number, name in enumerate(parts):
            (project.home / name).write_text(name)
            run.log_artifact(project.home / name)
            run.log_metrics({"loss": 0.5}, step=number)
        killer = threading.Thread(target=kill_after_some)
        killer.start()
        assert run.flush().reason is not None, "the server died during the delivery"
        killer.join()
    assert [info.status for info in pending(project)] == ["FINISHED"]
    server.start()
    assert deliver(project, persist=True).sent == ["long"]
    client = mlflow_store.client(server.uri)
    assert client.get_run(run.run_id).info.status == "FINISHED"
    steps = [m.step for m in client.get_metric_history(run.run_id, "loss")]
    assert steps == list(range(len(parts)))
    names = sorted(f.path for f in client.list_artifacts(run.run_id))
    assert names == sorted([*parts, "provenance.json"])
    assert len(arrived()) == len(parts)


def test_parallel_first_writers_share_one_store(project: TrackingFolders, server: Server) -> None:
    def write(number: int) -> None:
        tags = {"profile": "sample"}
        with start_run("dgunet/parallel", f"run {number}", tags=tags, params={}) as run:
            run.log_metrics({"psnr": number})

    writers = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    deliver(project, persist=True)
    client = mlflow_store.client(server.uri)
    experiment = client.get_experiment_by_name("dgunet/parallel")
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(run.data.metrics["psnr"] for run in runs) == [0, 1, 2, 3]
