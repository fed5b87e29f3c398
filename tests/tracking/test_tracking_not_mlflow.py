"""Servers that do not respond as MLflow does: every run is kept and the server is reported."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
from mlflow.exceptions import MlflowException, RestException
from typer.testing import CliRunner

from dgunet.cli.tracking_commands import tracking
from dgunet.tracking import TrackingFolders, deliver, delivered, pending, start_run
from dgunet.tracking.delivery.answers import is_missing_page, is_refusal
from dgunet.tracking.index import in_mlflow
from dgunet.tracking.server import mlflow_store

TAGS = {"stage": "evaluate", "profile": "sample"}

ANSWERS: dict[str, tuple[int, bytes]] = {
    "empty object": (200, b"{}"),
    "nothing": (200, b""),
    "a page": (200, b"<html>Welcome</html>"),
    "a list": (200, b"[]"),
    "null": (200, b"null"),
    "a text": (200, b'"OK"'),
    "wrong types": (200, b'{"experiment": 5, "run": [], "runs": "none"}'),
    "another's fields": (200, b'{"status": "ok", "data": {"id": 1}}'),
    "an experiment of another name": (
        200,
        b'{"experiment": {"experiment_id": "1", "name": "x", "lifecycle_stage": "active"}}',
    ),
    "not found page": (404, b"<html>Not Found</html>"),
    "not found object": (404, b'{"detail": "Not Found"}'),
    "not found by number": (404, b'{"error_code": 404, "message": "no such page"}'),
    "bad request page": (400, b"<html>Bad Request</html>"),
    "bad gateway": (502, b"<html>Bad Gateway</html>"),
    "no content": (204, b""),
}


@pytest.fixture
def serve() -> Iterator[Any]:
    """Start a server that sends one response to every request; return its address."""
    running = []

    def start(status: int, body: bytes) -> str:
        class Answering(BaseHTTPRequestHandler):
            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        httpd = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        running.append(httpd)
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{httpd.server_port}"

    yield start
    for httpd in running:
        httpd.shutdown()
        httpd.server_close()


def leave_journal(name: str) -> str:
    with start_run("dgunet/x", name, tags=TAGS, params={"stages": 7}) as run:
        run.log_metrics({"loss": 1.0})
    return run.journal_id


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_server_that_is_not_mlflow_is_reported_and_every_run_is_kept(
    bare: TrackingFolders, serve: Any, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    address = serve(*ANSWERS[answer])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("DGUNET_TRACKING", "later")
    ids = {leave_journal("a"), leave_journal("b")}
    result = CliRunner().invoke(tracking, ["sync"])
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    assert "sent 0 runs" in result.output and "2 left" in result.output
    assert not bare.refused.exists() and not bare.damaged.exists()
    assert {path.name for path in bare.journals.iterdir()} == ids
    assert delivered(bare) == [] and len(pending(bare)) == 2
    if answer not in ("bad gateway", "no content"):  # may be a temporary failure of MLflow
        line = next(line for line in result.output.splitlines() if "not everything" in line)
        assert address in line
    doctor = CliRunner().invoke(tracking, ["doctor"])
    assert doctor.exit_code == 1 and "is not available" in doctor.output
    with pytest.raises((mlflow_store.TrackingError, MlflowException)):
        in_mlflow(bare)


class Relay(BaseHTTPRequestHandler):
    """A proxy in front of MLflow that answers some requests itself."""

    target = ""
    lost: dict[str, tuple[int, bytes]]

    def relay(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        for ending, answer in self.lost.items():
            if path.endswith(ending):
                return self.reply(*answer)
        request = Request(self.target + self.path, body or None, method=self.command)
        request.add_header("Content-Type", "application/json")
        try:
            with urlopen(request, timeout=60) as found:
                self.reply(found.status, found.read())
        except OSError as error:
            self.reply(error.code, error.read())  # type: ignore[attr-defined]
        return None

    def reply(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = relay

    def log_message(self, *_: object) -> None:
        """Log nothing."""


LOST = {
    "create": "/runs/create",
    "log": "/runs/log-batch",
    "end": "/runs/update",
    "look": "/runs/get",
    "experiment": "/experiments/create",
}


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory, made_store: Any) -> Iterator[str]:
    from test_tracking_server import Server

    folder = tmp_path_factory.mktemp("behind")
    (folder / "mlflow.db").write_bytes(made_store.read_bytes())
    server = Server(folder)
    server.start()
    yield server.uri
    server.kill()


@pytest.mark.parametrize("answer", ["empty object", "not found page", "bad request page"])
@pytest.mark.parametrize("lost", LOST)
def test_a_proxy_answering_a_request_itself_neither_loses_nor_duplicates_data(
    bare: TrackingFolders,
    mlflow_server: str,
    monkeypatch: pytest.MonkeyPatch,
    lost: str,
    answer: str,
) -> None:
    """For a batch, ``{}`` is also MLflow's response; all other cases are detectable."""
    if (lost, answer) == ("log", "empty object"):
        pytest.skip("cannot be distinguished from MLflow's response")
    handler = type("One", (Relay,), {"target": mlflow_server, "lost": {}})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{httpd.server_port}")
        monkeypatch.setenv("DGUNET_TRACKING", "later")
        experiment = f"dgunet/{lost} {answer}"
        with start_run(experiment, "n", tags=TAGS, params={"stages": 7}) as run:
            run.log_metrics({"loss": 1.0})
        handler.lost = {LOST[lost]: ANSWERS[answer]}
        outcome = deliver(bare)
        assert outcome.sent == [] and outcome.refused == [] and outcome.reason is not None
        assert not bare.refused.exists() and len(pending(bare)) == 1
        handler.lost = {}
        assert deliver(bare, persist=True).sent == ["n"]
        httpd.shutdown()
    client = mlflow_store.client(mlflow_server)
    found = client.get_experiment_by_name(experiment)
    (arrived,) = client.search_runs([found.experiment_id])
    assert (arrived.info.status, arrived.data.metrics) == ("FINISHED", {"loss": 1.0})
    assert [info.run_id for info in delivered(bare)] == [arrived.info.run_id]


def test_a_run_missing_on_another_mlflow_server_waits(
    bare: TrackingFolders, mlflow_server: str, made_store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address changed during the run: it waits, with a hint on how to send it again."""
    monkeypatch.setenv("DGUNET_TRACKING", "later")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    with start_run("dgunet/moved", "n", tags=TAGS, params={}) as run:
        assert deliver(bare, only=run.journal_id).reason is None
        run.log_metrics({"loss": 1.0})
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    (bare.home / "mlflow.db").write_bytes(made_store.read_bytes())
    outcome = deliver(bare)
    assert outcome.waits is not None and "cursor.json" in outcome.waits
    assert not bare.refused.exists()
    (bare.journals / run.journal_id / "cursor.json").unlink()
    assert deliver(bare, persist=True).sent == ["n"]


def test_only_errors_raised_by_mlflow_count_as_refusals() -> None:
    def rest(body: str) -> RestException:
        return RestException(json.loads(body))

    assert is_refusal(rest('{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no run"}'))
    assert is_refusal(MlflowException("bad id", error_code=1000))  # raised by the client
    assert not is_refusal(rest('{"error_code": "INTERNAL_ERROR", "message": "x"}'))
    assert not is_refusal(rest('{"error_code": 404, "message": "x"}'))
    assert not is_refusal(rest('{"detail": "Not Found"}'))
    assert not is_refusal(ValueError("x"))
    from mlflow.utils.rest_utils import get_error_code

    page = MlflowException("failed with error code 404", error_code=get_error_code(404))
    assert is_missing_page(page) and not is_refusal(page)
    assert not is_refusal(MlflowException("code 400", error_code=get_error_code(400)))
