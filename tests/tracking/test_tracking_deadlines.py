"""A server that sends single bytes: each arrives in time, but the response never ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dgunet.cli.models_commands import models
from dgunet.cli.tracking_commands import tracking
from dgunet.system.address import Address
from dgunet.system.deadline import within
from dgunet.tracking import TrackingFolders, deliver, lookup, pending, start_run
from dgunet.tracking.server import health, limited_client, mlflow_store
from dgunet.tracking.server.health import StoreUnavailable
from dgunet.tracking.server.limited_client import Limited

TAGS = {"stage": "train", "profile": "sample"}
GUARD = 120
"""Time limit in seconds; waiting for a dripping server would take longer."""


class Dripping(BaseHTTPRequestHandler):
    """Send spaces for ever, except for /health if ``server.healthy``."""

    def log_message(self, *_: object) -> None:
        pass

    def _drip(self) -> None:
        if self.path == "/health" and self.server.healthy:  # type: ignore[attr-defined]
            self.send_response(200)
            self.end_headers()
            return
        with suppress(OSError):
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            self.wfile.write(b"Content-Type: application/json\r\nContent-Length: 99999\r\n")
            if self.path != "/health":
                self.wfile.write(b"\r\n")
            while True:
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(0.05)

    do_GET = do_POST = do_PUT = _drip


@contextmanager
def dripping(*, healthy: bool) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Dripping) as httpd:
        httpd.daemon_threads = True
        httpd.block_on_close = False
        httpd.healthy = healthy  # type: ignore[attr-defined]
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


@pytest.fixture(params=[False, True], ids=["from the start", "after its health"])
def dripper(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a dripping server; time limits are shorter than usual."""
    monkeypatch.setattr(health, "ANSWER_SECONDS", 0.5)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with dripping(healthy=request.param) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        yield uri


def test_a_stage_and_every_command_end_in_bounded_time(
    bare: TrackingFolders, dripper: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with start_run("dgunet/x", "n", tags=TAGS, params={}) as run:
        run.log_metrics({"loss": 1.0})
    assert "they are kept" in capsys.readouterr().err
    assert [info.name for info in pending(bare)] == ["n"]
    bare.back_off.unlink()
    assert lookup("ab" * 32) is None
    bare.back_off.unlink(missing_ok=True)
    for verbs, arguments in ((tracking, ["sync"]), (tracking, ["doctor"])):
        done = CliRunner().invoke(verbs, arguments)
        assert done.exit_code == 1
        assert "answer" in done.output
    done = CliRunner().invoke(models, ["list"])
    assert isinstance(done.exception, mlflow_store.TrackingError), done.output
    assert "does not answer" in str(done.exception)


def test_a_process_exits_while_a_call_still_hangs(bare: TrackingFolders, dripper: str) -> None:
    """The interpreter waits for no thread when it exits."""
    code = (
        "from dgunet.tracking import start_run\n"
        "from dgunet.tracking.server import health\n"
        "health.ANSWER_SECONDS = 0.5\n"
        f"with start_run('dgunet/x', 'n', tags={TAGS!r}, params={{}}) as run:\n"
        "    run.log_metrics({'loss': 1.0})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=GUARD
    )
    assert done.returncode == 0, done.stderr
    assert "they are kept" in done.stderr


def test_sigterm_ends_the_process_although_the_server_hangs(
    bare: TrackingFolders, tmp_path: Path
) -> None:
    """With the usual limits, where waiting for the requests would take minutes."""
    with dripping(healthy=True) as uri:
        code = (
            "import time\nfrom dgunet.tracking import start_run\n"
            f"with start_run('dgunet/x', 'n', tags={TAGS!r}, params={{}}):\n"
            "    print('begun', flush=True)\n    time.sleep(600)\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            env=os.environ | {"MLFLOW_TRACKING_URI": uri, "MLFLOW_HTTP_REQUEST_TIMEOUT": "600"},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None and process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=GUARD) == 128 + signal.SIGTERM
    assert [info.status for info in pending(bare)] == ["KILLED"]


def test_a_database_that_never_completes_the_login_is_given_up(
    bare: TrackingFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("psycopg2")
    monkeypatch.setattr(mlflow_store, "CONNECT_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"postgresql+psycopg2://me@127.0.0.1:{silent.getsockname()[1]}/mlflow"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with start_run("dgunet/x", "n", tags=TAGS, params={}):
            pass
        assert [info.name for info in pending(bare)] == ["n"]
        bare.back_off.unlink()
        reason = deliver(bare).reason
    assert reason is not None and "no complete answer" in reason


class Slow:
    """A stand-in for a client whose server is slow for each file."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.sent: list[tuple[str, str | None]] = []

    def log_artifact(self, run_id: str, path: str, folder: str | None = None) -> None:
        time.sleep(self.seconds)
        self.sent.append((Path(path).name, folder))

    log_model_artifact = log_artifact


def test_a_slow_server_receives_large_files_and_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit grows by a second per megabyte, and applies to each file of a folder."""
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT", raising=False)
    monkeypatch.setitem(mlflow_store._SETTINGS, "MLFLOW_HTTP_REQUEST_TIMEOUT", "0")
    big = tmp_path / "big.bin"
    big.write_bytes(bytes(2_000_000))
    client, whole = Slow(1.0), tmp_path / "whole"
    sending = Limited(client, Address("http://a"))
    with mlflow_store.quiet_mlflow():
        with pytest.raises(StoreUnavailable, match="http://a: no complete answer within"):
            sending.log_artifact("run", str(big))
        with mlflow_store.time_for([big]):
            sending.log_artifact("run", str(big))
    (whole / "code" / "deep").mkdir(parents=True)
    names = ("a", "b", "code/c", "code/deep/d")
    for name in names:
        (whole / name).write_text(name)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")  # three seconds per call
    client.sent.clear()
    sending.log_artifacts("run", str(whole), "there")
    expected = [("a", "there"), ("b", "there"), ("c", "there/code"), ("d", "there/code/deep")]
    assert client.sent == expected, "four seconds in all"
    client.sent.clear()
    sending.log_model_artifacts("model", str(whole))
    assert client.sent == [("a", None), ("b", None), ("c", "code"), ("d", "code/deep")]


def test_a_short_time_limit_also_ends_calls_in_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """Including a call that began before the process was asked to end."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "600")
    monkeypatch.setattr(limited_client, "HURRY_SECONDS", 0.1)
    failed: list[Exception] = []

    def send() -> None:
        try:
            Limited(Slow(GUARD), Address("http://a")).log_artifact("run", "x")
        except StoreUnavailable as error:
            failed.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    time.sleep(0.3)
    assert not failed
    with limited_client.short_time_limit():
        thread.join(GUARD / 2)
        assert failed


def test_a_limited_call_returns_raises_or_times_out() -> None:
    assert within(60, lambda: 7) == 7
    with pytest.raises(KeyError, match="x"):
        within(60, lambda: {}["x"])
    with pytest.raises(TimeoutError, match=r"within 0\.1 s"):
        within(0.1, lambda: time.sleep(GUARD))
