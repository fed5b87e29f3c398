"""User names, passwords and tokens in an address reach the server and nothing else."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest
from test_tracking_server import Server
from typer.testing import CliRunner

from dgunet.cli.tracking_commands import tracking
from dgunet.system import address
from dgunet.system.address import Address
from dgunet.tracking import TrackingFolders, delivered, lookup, pending, start_run
from dgunet.tracking.server import mlflow_store
from dgunet.tracking.server.health import StoreUnavailable, ask
from dgunet.tracking.ui_links import charts_url, run_url

USER, PASSWORD = "alice-of-the-lab", "p:w/d@9?#%&"
TAGS = {"stage": "train", "profile": "sample"}
DIGEST = "ab" * 32


@pytest.fixture(autouse=True)
def no_known_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the secrets of addresses in earlier tests."""
    monkeypatch.setattr(address, "_known", set())


class PasswordProxy(BaseHTTPRequestHandler):
    """Forward requests with the right user and password to ``server.behind``; refuse others."""

    def log_message(self, *_: object) -> None:
        pass

    def _pass_on(self) -> None:
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Authorization") != f"Basic {login}":
            self.server.refused.append(self.path)  # type: ignore[attr-defined]
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        behind = self.server.behind  # type: ignore[attr-defined]
        headers = {k: v for k, v in self.headers.items() if k not in ("Host", "Authorization")}
        request = urllib.request.Request(
            behind + self.path, body or None, headers, method=self.command
        )
        try:
            answer = urllib.request.urlopen(request, timeout=60)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            content = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers.get("Content-Type", "text/plain"))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, made_store: Path) -> Iterator[Server]:
    """A real MLflow server; ``guard`` is a proxy that requires the password."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "mlflow.db").write_bytes(made_store.read_bytes())
    made = Server(folder)
    made.start()
    with ThreadingHTTPServer(("127.0.0.1", 0), PasswordProxy) as guard:
        guard.behind, guard.refused = made.uri, []  # type: ignore[attr-defined]
        threading.Thread(target=guard.serve_forever, daemon=True).start()
        made.guard = guard  # type: ignore[attr-defined]
        yield made
        guard.shutdown()
    made.kill()


def files_with_secrets(*folders: Path) -> list[Path]:
    """Return the files that contain the user name or the password in any form."""
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode())
    words = (USER.encode(), PASSWORD.encode(), quote(PASSWORD, safe="").encode(), login)
    files = [p for folder in folders for p in folder.rglob("*") if p.is_file()]
    return [path for path in files if any(word in path.read_bytes() for word in words)]


def has_no_secret(text: str) -> bool:
    forms = (USER, PASSWORD, quote(PASSWORD, safe=""))
    return not any(form in text for form in forms)


def output_of_all_commands(folders: TrackingFolders) -> str:
    """Return the output of every command that shows the address of the store."""
    commands = [["init"], ["status"], ["sync"], ["doctor"]]
    if folders.uri.scheme == "http":
        commands.append(["ui"])
    text = "".join(CliRunner().invoke(tracking, arguments).output for arguments in commands)
    for info in delivered(folders) + pending(folders):
        text += f"{info} {run_url(info)} {charts_url(info)}"
    return text


def test_a_run_is_delivered_to_a_server_that_requires_a_password(
    bare: TrackingFolders,
    guarded: Server,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    port = guarded.guard.server_port  # type: ignore[attr-defined]
    address = f"http://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "false")
    with start_run("dgunet/x", "n", tags=TAGS, params={"stages": 7}) as run:
        run.log_metrics({"loss": 1.0})
        (bare.home / "table.csv").write_text("a\n")
        run.log_artifact(bare.home / "table.csv")
        run.set_result(table=DIGEST)
    assert [info.tracking_uri for info in delivered(bare)] == [f"http://127.0.0.1:{port}"]
    assert pending(bare) == []
    assert lookup(DIGEST) is not None
    bare.index.unlink()
    found = lookup(DIGEST)
    assert found is not None and found.status == "FINISHED", "found through the server"
    assert guarded.guard.refused == [], "including the health check"  # type: ignore[attr-defined]
    output = output_of_all_commands(bare)
    assert f"MLflow store: http://127.0.0.1:{port}\n" in output
    out, err = capfd.readouterr()
    assert has_no_secret(output + out + err)
    assert files_with_secrets(bare.home, guarded.folder) == []


@pytest.mark.parametrize("how", ["password", "token", "none"])
def test_the_health_check_sends_the_client_s_credentials(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[str | None] = []

    class Recorder(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            received.append(self.headers.get("Authorization"))
            self.send_response(302)  # following it would send the credentials to another server
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    login = f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"
    expected = {"password": login, "token": "Bearer the-token", "none": None}[how]
    if how == "password":
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    elif how == "token":
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "the-token")
    with ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        ask(Address(f"http://127.0.0.1:{httpd.server_port}/"))
        httpd.shutdown()
    assert received == [expected]


LOGIN = f"{USER}:{quote(PASSWORD, safe='')}"


@pytest.mark.parametrize(
    "address",
    [
        f"http://{LOGIN}@127.0.0.1:9",
        f"http://127.0.0.1:9/?token={quote(PASSWORD, safe='')}",
        f"http://{USER}:{PASSWORD}@127.0.0.1:9",  # not escaped
        f"postgresql://{LOGIN}@127.0.0.1:9/mlflow",
        f"postgresql+psycopg2://{LOGIN}@127.0.0.1:9/mlflow?password={quote(PASSWORD, safe='')}",
        f"mysql+pymysql://{LOGIN}@127.0.0.1:9/mlflow",
        f"nonsense://{LOGIN}@127.0.0.1:9/mlflow",
    ],
)
def test_an_unreachable_store_keeps_the_run_and_exposes_no_secret(
    bare: TrackingFolders,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    address: str,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with start_run("dgunet/x", "n", tags=TAGS, params={}) as run:
        run.log_metrics({"loss": 1.0})
    assert [info.name for info in pending(bare)] == ["n"]
    assert bare.back_off.is_file()
    bare.back_off.unlink()
    assert lookup(DIGEST) is None
    output = output_of_all_commands(bare)
    out, err = capfd.readouterr()
    assert "dgunet tracking sync" in err
    assert has_no_secret(output + out + err)
    assert files_with_secrets(bare.home) == []


@pytest.mark.parametrize("kind", ["postgresql", "mysql+pymysql"])
def test_a_failing_database_client_exposes_no_secret(
    bare: TrackingFolders,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    """The port accepts connections, so the client fails: its driver is missing, or at the login."""

    class FailingLogin(BaseHTTPRequestHandler):
        pass

    monkeypatch.setattr(mlflow_store, "CONNECT_SECONDS", 2)
    with ThreadingHTTPServer(("127.0.0.1", 0), FailingLogin) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        address = f"{kind}://{LOGIN}@127.0.0.1:{httpd.server_port}/mlflow"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with start_run("dgunet/x", "n", tags=TAGS, params={}):
            pass
        output = output_of_all_commands(bare)
        httpd.shutdown()
    out, err = capfd.readouterr()
    assert "dgunet tracking sync" in err
    assert has_no_secret(output + out + err)
    assert files_with_secrets(bare.home) == []


def test_an_error_in_a_stage_is_recorded_without_its_secrets(bare: TrackingFolders) -> None:
    with (
        pytest.raises(RuntimeError),
        start_run("dgunet/x", "n", tags=TAGS, params={}),
    ):
        raise RuntimeError(f"no answer from https://{LOGIN}@host/x?sig={PASSWORD}")
    assert files_with_secrets(bare.home) == []


def test_a_query_in_a_server_s_address_is_refused_with_a_hint() -> None:
    with pytest.raises(StoreUnavailable, match="MLFLOW_TRACKING_TOKEN"):
        ask(Address("http://127.0.0.1:9/?token=x"))


def test_the_mlflow_ui_is_started_without_secrets_in_its_arguments(
    bare: TrackingFolders, tmp_path: Path
) -> None:
    """`ps` shows the arguments to every user."""
    seen = tmp_path / "mlflow" / "__main__.py"
    seen.parent.mkdir()
    (seen.parent / "__init__.py").touch()
    seen.write_text(
        "import os, sys\nprint(sys.argv[1:])\nprint(os.environ['MLFLOW_BACKEND_STORE_URI'])\n"
    )
    address = f"postgresql://{LOGIN}@127.0.0.1:9/mlflow"
    code = "from dgunet.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "tracking", "ui", "--port", "59741"],
        env=os.environ
        | {
            "MLFLOW_TRACKING_URI": address,
            "DGUNET_HOME": str(bare.home),
            "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    *output, revealed = done.stdout.strip().splitlines()
    assert revealed == address, done.stderr
    assert has_no_secret("\n".join(output) + done.stderr)


def test_the_back_off_of_one_address_does_not_apply_to_another(
    bare: TrackingFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{LOGIN}@a")
    mlflow_store.BackOff(bare).start(f"refused http://{LOGIN}@a")
    assert mlflow_store.BackOff(bare).reason() == "refused http://a"
    assert files_with_secrets(bare.home) == []
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{LOGIN}@b")
    assert mlflow_store.BackOff(bare).reason() is None
