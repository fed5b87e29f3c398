"""The store is complete or absent, and the commands report its state."""

from __future__ import annotations

import socket
import sqlite3
import time
from contextlib import closing

import pytest
from typer.testing import CliRunner

from dgunet.cli import command
from dgunet.cli.tracking_commands import tracking
from dgunet.system.errors import ConfigError
from dgunet.tracking import TrackingError, TrackingFolders, delivered, ensure_store, start_run

TAGS = {"stage": "train", "profile": "sample"}


def test_an_existing_store_is_not_changed(project: TrackingFolders) -> None:
    database = project.home / "mlflow.db"
    before = database.read_bytes()
    assert str(ensure_store()) == f"sqlite:///{database}"
    assert database.read_bytes() == before


def test_a_server_or_another_database_is_not_touched(
    bare: TrackingFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    for uri in ("http://127.0.0.1:9", "postgresql://nobody@127.0.0.1:9/x"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        assert ensure_store().reveal() == uri
    assert sorted(path.name for path in bare.home.iterdir()) == ["params.yaml"]


def test_incomplete_and_foreign_databases_are_refused(bare: TrackingFolders) -> None:
    database = bare.home / "mlflow.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("create table runs (a)")
        connection.execute("create table _alembic_tmp_runs (a)")
    with pytest.raises(TrackingError, match=r"mlflow\.db is an incomplete MLflow database"):
        ensure_store()
    database.write_text("not a database, " * 100)
    with pytest.raises(TrackingError, match=r"mlflow\.db is not an MLflow database.*Move it away"):
        ensure_store()
    with start_run("dgunet/x", "n", tags=TAGS, params={}) as run:
        pass
    assert run.run_id is None, "a damaged store does not stop a stage"


def test_status_lists_waiting_runs_and_sync_delivers_them(
    project: TrackingFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DGUNET_TRACKING", "later")
    with start_run("dgunet/table-1-deraining", "train derain", tags=TAGS, params={}):
        time.sleep(0.002)
    with start_run("dgunet/table-2-deblurring", "train deblur", tags=TAGS, params={}):
        pass
    cli = CliRunner()
    status = cli.invoke(tracking, ["status"]).output
    assert "waiting:      2" in status and "train derain" in status and str(project.uri) in status
    sent = cli.invoke(tracking, ["sync"])
    assert (sent.exit_code, sent.output) == (0, f"sent 2 runs to {project.uri}; 0 left\n")
    assert [info.name for info in delivered(project)] == ["train derain", "train deblur"]
    again = cli.invoke(tracking, ["sync"])
    assert (again.exit_code, again.output) == (0, f"sent 0 runs to {project.uri}; 0 left\n")


def test_runs_are_listed_and_filtered(
    bare: TrackingFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DGUNET_TRACKING", "later")
    for table, stage in ((1, "train"), (1, "evaluate"), (5, "evaluate")):
        tags = {"stage": stage, "profile": "sample"}
        with start_run(f"dgunet/table-{table}-x", f"{stage} {table}", tags=tags, params={}):
            pass
    cli, root = CliRunner(), command()

    def names(*options: str) -> list[str]:
        lines = cli.invoke(root, ["runs", *options]).output.splitlines()
        return [line.split("  ")[0] for line in lines[2:]]

    assert names() == ["train 1", "evaluate 1", "evaluate 5"]
    assert names("--table", "1") == ["train 1", "evaluate 1"]
    assert names("--table", "1", "--stage", "train") == ["train 1"]
    assert names("--campaign", "paper-local") == []


def test_the_ui_refuses_a_port_in_use(project: TrackingFolders) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        result = CliRunner().invoke(tracking, ["ui", "--port", port])
    assert result.exit_code == 1 and isinstance(result.exception, ConfigError)
    assert f"port {port} is already in use" in result.exception.message


@pytest.mark.parametrize("note", ["", "[]", "{", '{"until": "soon"}', '{"uri": 5}', "\0"])
def test_a_damaged_back_off_file_is_ignored(
    project: TrackingFolders, monkeypatch: pytest.MonkeyPatch, note: str
) -> None:
    project.state.mkdir()
    project.back_off.write_text(note)
    assert CliRunner().invoke(tracking, ["status"]).exit_code == 0
    with start_run("dgunet/x", "n", tags=TAGS, params={}):
        pass
    assert [info.name for info in delivered(project)] == ["n"]
