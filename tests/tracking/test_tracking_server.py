"""A real MLflow server on loopback that is killed, does not respond, or is not running."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from dgunet.cli.tracking_commands import tracking
from dgunet.tracking import TrackingFolders, deliver, delivered, pending, start_run
from dgunet.tracking.journal.writing import readable_journals
from dgunet.tracking.server import health, mlflow_store

TAGS = {"stage": "train", "profile": "sample"}


class Server:
    """An ``mlflow server`` process, by default with a sqlite file of its own."""

    def __init__(
        self,
        folder: Path,
        database: str = "",
        artifacts: str = "",
        environment: dict[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.database = database or f"sqlite:///{folder / 'mlflow.db'}"
        self.artifacts = artifacts or str(folder / "artifacts")
        self.environment = environment or {}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, largest_file: int | None = None) -> None:
        """Start the server; it cannot write files larger than ``largest_file`` kilobytes."""
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--workers", "1"]
        command += ["--backend-store-uri", self.database]
        command += ["--artifacts-destination", self.artifacts]
        if largest_file:
            command = ["bash", "-c", f'ulimit -f {largest_file}; exec "$@"', "bash", *command]
        settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"} | self.environment
        log = self.folder / "server.log"
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                env=os.environ | settings,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        end = time.monotonic() + 180
        while time.monotonic() < end and self.process.poll() is None:
            with suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=1):
                return
            time.sleep(0.1)
        self.kill()
        raise TimeoutError(f"the MLflow server did not start:\n{log.read_text()[-2000:]}")

    def kill(self) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, made_store: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "mlflow.db").write_bytes(made_store.read_bytes())
    made = Server(folder)
    made.start()
    yield made
    made.kill()


def test_killing_the_server_during_delivery_neither_loses_nor_duplicates_data(
    bare: TrackingFolders, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    files = [f"part {n}.txt" for n in range(40)]

    def kill_after_some() -> None:
        while len(list(server.folder.glob("artifacts/**/part *.txt"))) < 8:
            time.sleep(0.005)
        server.kill()

    killer = threading.Thread(target=kill_after_some)
    with start_run("dgunet/x", "long", tags=TAGS, params={"stages": 7}) as run:
        for step in range(30):
            run.log_metrics({"loss": 1.0 / (step + 1), "odd": float("nan")}, step=step)
        run.log_table(pd.DataFrame({"image": ["a"], "psnr": [31.0]}), "per_image.json")
        run.flush()
        assert run.run_id is not None
        for name in files:
            (bare.home / name).write_text(name)
            run.log_artifact(bare.home / name)
            run.log_metrics({"loss": 0.5}, step=100 + int(name.split()[1][:-4]))
        killer.start()
        outcome = run.flush()
        killer.join()
        assert outcome.reason is not None, "the server died during the delivery"
        run.log_image(np.zeros((2, 2), np.uint8), "last")
    assert [info.status for info in pending(bare)] == ["FINISHED"]
    first = run.run_id
    with start_run("dgunet/x", "next", tags=TAGS, params={}):
        pass
    assert [info.name for info in pending(bare)] == ["long", "next"]
    assert CliRunner().invoke(tracking, ["sync"]).exit_code == 1
    server.start()
    result = CliRunner().invoke(tracking, ["sync"])
    assert result.exit_code == 0, result.output
    assert "sent 2 runs" in result.output
    assert [(info.name, info.run_id == first) for info in delivered(bare)] == [
        ("long", True),
        ("next", False),
    ]
    client = mlflow_store.client(server.uri)
    experiment = client.get_experiment_by_name("dgunet/x").experiment_id
    assert len(client.search_runs([experiment])) == 2
    arrived = client.get_run(first)
    assert arrived.info.status == "FINISHED"
    history = client.get_metric_history(first, "loss")
    assert [m.step for m in history] == [*range(30), *range(100, 140)]
    assert len(client.get_metric_history(first, "odd")) == 30
    names = {f.path for f in client.list_artifacts(first)}
    assert names == {*files, "per_image.json", "provenance.json", "images"}


@pytest.mark.skipif(
    os.environ.get("DGUNET_INTEGRATION") != "1",
    reason="opt-in, starts a server twice: DGUNET_INTEGRATION=1",
)
def test_an_upload_refused_by_a_full_server_is_delivered_later(
    bare: TrackingFolders, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resource limit makes the server fail on the large file, as a full disk would."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    server.kill()
    server.start(largest_file=8192)
    large = bare.home / "network.bin"
    large.write_bytes(os.urandom(9_000_000))
    with start_run("dgunet/full", "n", tags=TAGS, params={"stages": 7}) as run:
        run.log_metrics({"loss": 1.0}, step=1)
        run.log_artifact(large)
        run.log_metrics({"loss": 0.5}, step=2)
    (info,) = pending(bare)
    assert info.status == "FINISHED" and info.run_id is not None
    assert not bare.refused.exists(), "a full disk is not an error of the run"
    server.kill()
    server.start()
    assert deliver(bare, persist=True).sent == ["n"]
    client = mlflow_store.client(server.uri)
    assert [f.file_size for f in client.list_artifacts(info.run_id)] == [9_000_000]
    assert [m.step for m in client.get_metric_history(info.run_id, "loss")] == [1, 2]


class FailingHandler(BaseHTTPRequestHandler):
    """Answer the health check; fail or hang for every other request."""

    def do_GET(self) -> None:
        if self.path != "/health" and self.server.server_name == "mute":
            time.sleep(2)
            return
        self.send_response(200 if self.path == "/health" else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture(params=["refusing", "silent", "failing", "mute"])
def unavailable(request: pytest.FixtureRequest) -> Iterator[str]:
    """Addresses of servers that accept no run, each for another reason."""
    if request.param in ("refusing", "silent"):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = f"http://127.0.0.1:{listener.getsockname()[1]}"
            if request.param == "refusing":
                listener.close()
            yield address
        return
    with ThreadingHTTPServer(("127.0.0.1", 0), FailingHandler) as httpd:
        httpd.server_name = request.param
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


def test_an_unavailable_server_is_contacted_once(
    bare: TrackingFolders,
    unavailable: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", unavailable)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setattr(health, "ANSWER_SECONDS", 0.2)
    asked: list[str] = []
    ask = mlflow_store.ask
    monkeypatch.setattr(mlflow_store, "ask", lambda uri: (asked.append(uri), ask(uri)))
    for name in ("first", "second", "third"):
        with start_run("dgunet/x", name, tags=TAGS, params={}) as run:
            run.log_metrics({"loss": 1.0})
            run.flush()
        assert run.run_id is None
    assert len(asked) == 1, "after a failure the server is not contacted for a while"
    assert [info.name for info in pending(bare)] == ["first", "second", "third"]
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 3 and all("dgunet tracking sync" in line for line in lines)


def test_a_slow_server_does_not_delay_the_steps(
    bare: TrackingFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer, too_late = threading.Event(), threading.Event(), threading.Event()

    class Slow(FailingHandler):
        def do_GET(self) -> None:
            if self.path != "/health":
                asked.set()
                if not answer.wait(20):
                    too_late.set()
            super().do_GET()

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    monkeypatch.setattr("dgunet.tracking.run.LIVE_SECONDS", 0.0)
    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{httpd.server_port}")
        with start_run("dgunet/x", "n", tags=TAGS, params={}) as run:
            run.log_metrics({"loss": 1.0}, step=0)
            assert asked.wait(60)
            for step in range(1, 50):
                run.log_metrics({"loss": 1.0}, step=step)
            assert not too_late.is_set(), "the steps waited for the response"
            answer.set()
        httpd.shutdown()
    (reader,) = readable_journals(bare.journals)
    steps = [event["step"] for event in reader.events() if event["kind"] == "metrics"]
    assert steps == list(range(50)) and reader.ended()


def test_the_time_limit_grows_with_the_file_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT", raising=False)
    big = tmp_path / "network.safetensors"
    with big.open("wb") as handle:
        handle.truncate(70_000_000)
    with mlflow_store.quiet_mlflow():
        with mlflow_store.time_for([big]):
            assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "80"
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "10"
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    with mlflow_store.quiet_mlflow(), mlflow_store.time_for([big]):
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "5", "the user's setting wins"


def test_the_back_off_doubles_up_to_its_maximum(
    bare: TrackingFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://a")
    now = [1000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    pause = mlflow_store.BackOff(bare)
    waits: list[float] = []
    for _ in range(7):
        pause.start("refused")
        assert pause.reason() == "refused"
        before = now[0]
        while pause.reason():
            now[0] += 30
        waits.append(now[0] - before)
    assert waits == [60, 120, 240, 480, 960, 1800, 1800]
    pause.start("refused")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://b")
    assert mlflow_store.BackOff(bare).reason() is None, "the back-off is per server"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://a")
    mlflow_store.BackOff(bare).clear()
    assert mlflow_store.BackOff(bare).reason() is None


def test_settings_for_mlflow_are_restored_afterwards(
    project: TrackingFolders, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[Any]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    with mlflow_store.quiet_mlflow():
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77", "the user's setting wins"
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ
    with start_run("dgunet/x", "n", tags=TAGS, params={}):
        pass
    assert deliver(project).reason is None
    assert capfd.readouterr() == ("", "")
