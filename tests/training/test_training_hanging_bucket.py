"""A bucket that accepts connections and never responds does not delay a training or its end."""

import signal
import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest
import torch

from dgunet.system.errors import CheckpointError
from dgunet.training import Checkpoints, checkpoint_mirror
from dgunet.training.checkpoint_mirror import CheckpointMirror

EMPTY = (
    b'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><Name>runs</Name>'
    b"<KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>"
)
HANGING = 120
"""Time limit of the test in seconds; waiting for the bucket would never end."""


@contextmanager
def bucket(*, lists=False, drips=False):
    """Yield the address and the PUT requests of a server that never responds.

    Args:
        lists: it responds to requests for a list of objects.
        drips: it sends single bytes of such a response.
    """
    listening = socket.create_server(("127.0.0.1", 0))
    kept, puts = [], []

    def serve():
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            kept.append(connection)
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    def answer(connection):
        request = connection.recv(65536)
        if not request.startswith(b"GET"):
            puts.append(request)
        elif lists:
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(EMPTY)}\r\nConnection: close\r\n\r\n"
            connection.sendall(head.encode() + EMPTY)
            connection.close()
        elif drips:
            with suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
                while True:
                    connection.sendall(b" ")
                    time.sleep(0.05)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", puts
    finally:
        listening.close()
        for connection in kept:
            connection.close()


def settings(url):
    return {
        "DGUNET_CHECKPOINTS": "s3://runs/here",
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def test_a_hanging_bucket_delays_neither_checkpoints_nor_sigterm(small, tmp_path):
    small.write_params(steps=100_000)
    with bucket(lists=True) as (url, puts):
        process = small.start(tmp_path / "out", **settings(url))
        try:
            while not puts or small.checkpoints()[-1].stem < "step-000000020":
                assert process.poll() is None, process.stderr.read()
                time.sleep(0.01)
            before = small.checkpoints()[-1]
            process.send_signal(signal.SIGTERM)
            output = process.communicate(timeout=HANGING)[1]
        finally:
            process.kill()
    assert process.returncode == 75, output
    assert small.checkpoints()[-1] >= before
    assert "has not accepted the last checkpoint within 8 s" in output
    assert "the same command resumes" in output


def test_a_finished_training_does_not_wait_for_a_hanging_bucket(small, tmp_path):
    small.write_params(steps=4)
    with bucket(lists=True) as (url, _):
        output = small.finish(tmp_path / "out", **settings(url))
    assert (tmp_path / "out" / "network.safetensors").is_file()
    assert "could not be emptied within 8 s" in output


@pytest.mark.parametrize("drips", [False, True])
def test_a_hanging_bucket_prevents_the_start_in_bounded_time(tmp_path, monkeypatch, drips):
    """Starting afresh would lose the checkpoints in the bucket."""
    monkeypatch.setattr(checkpoint_mirror, "READ_SECONDS", 0.3)
    monkeypatch.setattr(checkpoint_mirror, "LIST_SECONDS", 1.0 if drips else 60)
    with bucket(drips=drips) as (url, _):
        for name, value in settings(url).items():
            monkeypatch.setenv(name, value)
        store = Checkpoints(
            tmp_path / "c", {}, seconds=0, mirror=CheckpointMirror("s3://runs/here", "x")
        )
        with pytest.raises(CheckpointError, match="cannot be searched for checkpoints"):
            store.newest()


def test_the_newest_checkpoint_is_uploaded_and_superseded_ones_are_skipped(tmp_path, monkeypatch):
    begun, go = threading.Event(), threading.Event()
    put = []

    def slow(self, path, keep):
        put.append(path.stem)
        begun.set()
        assert go.wait(60)

    monkeypatch.setattr(CheckpointMirror, "put", slow)
    store = Checkpoints(
        tmp_path / "c", {}, seconds=0, mirror=CheckpointMirror("s3://runs/here", "x")
    )
    for step in range(1, 6):
        store.save({"step": step, "weights": torch.zeros(2)})
        store.wait()
        assert begun.wait(60)
    go.set()
    store.wait_for_mirror()
    assert put == ["step-000000001", "step-000000005"]
