"""`dgunet tracking doctor` closes runs of dead processes, and only those."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from mlflow.entities import LoggedModelStatus
from typer.testing import CliRunner

from dgunet.cli.tracking_commands import tracking
from dgunet.tracking import TrackingFolders, delivered, start_run
from dgunet.tracking.journal.writing import readable_journals

STAGE = """
import time
from dgunet.tracking import start_run
with start_run("dgunet/x", "killed", tags={"profile": "sample"}, params={}) as run:
    run.log_metrics({"loss": 1.0}, step=1)
    run.flush()
    print("ready", flush=True)
    time.sleep(60)
"""


def doctor(*options: str) -> tuple[int, str]:
    result = CliRunner().invoke(tracking, ["doctor", *options])
    return result.exit_code, result.output


def remote_run(client: Any, name: str, host: str, *, hours: float, pid: int = 1) -> str:
    """Create a RUNNING run of another project, perhaps on another machine."""
    then = int((time.time() - 3600 * hours) * 1000)
    known = client.get_experiment_by_name("dgunet/remote")
    experiment = known.experiment_id if known else client.create_experiment("dgunet/remote")
    tags = {"dgunet.journal": name, "dgunet.process": f"{host} {pid}"}
    run = client.create_run(experiment, start_time=then, run_name=name, tags=tags)
    client.log_metric(run.info.run_id, "loss", 1.0, timestamp=then)
    return str(run.info.run_id)


def test_a_killed_process_s_run_is_found_and_closed(project: TrackingFolders, client: Any) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", STAGE], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    assert doctor() == (0, "all runs are complete\n"), "its process is running"
    process.send_signal(signal.SIGKILL)
    process.wait(20)
    (reader,) = readable_journals(project.journals)
    run_id = reader.cursor().run_id
    code, output = doctor("--dry-run")
    assert code == 1 and "found: run 'killed'" in output
    assert client.get_run(run_id).info.status == "RUNNING"
    code, output = doctor()
    assert code == 0 and "closed: run 'killed'" in output
    assert client.get_run(run_id).info.status == "KILLED"
    assert [info.run_id for info in delivered(project)] == [run_id]


def test_runs_without_a_local_journal_are_closed_when_dead_or_silent(
    project: TrackingFolders, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    here = socket.gethostname()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    runs = {
        "gone": remote_run(client, "gone", here, hours=0, pid=gone.pid),
        "alive": remote_run(client, "alive", here, hours=0, pid=os.getpid()),
        "number used again": remote_run(
            client, "number used again", here, hours=99, pid=os.getpid()
        ),
        "silent": remote_run(client, "silent", "a pod", hours=30),
        "heard": remote_run(client, "heard", "a pod", hours=3),
    }
    stranger = client.create_run("0", run_name="not ours").info.run_id
    code, output = doctor()
    assert code == 0
    states = {name: client.get_run(run_id).info.status for name, run_id in runs.items()}
    assert states == {
        "gone": "KILLED",
        "alive": "RUNNING",
        "number used again": "KILLED",
        "silent": "KILLED",
        "heard": "RUNNING",
    }
    assert client.get_run(stranger).info.status == "RUNNING"
    ended = client.get_run(runs["silent"])
    assert "no metrics from a pod for 30 hours" in ended.data.tags["error"]
    assert time.time() - ended.info.end_time / 1000 > 29 * 3600, (
        "its end is the time of its last metrics"
    )
    assert "heard" not in output and doctor("--silent-hours", "2")[1].startswith(
        "closed: run 'heard'"
    )


def test_a_model_without_weights_is_marked_as_failed(project: TrackingFolders, client: Any) -> None:
    experiment = client.create_experiment("dgunet/models")
    model = client.create_logged_model(
        experiment, name="derain", tags={"dgunet.event": "a-lost-journal:1"}
    )
    code, output = doctor()
    assert code == 0 and "closed: model 'derain'" in output
    assert client.get_logged_model(model.model_id).status == LoggedModelStatus.FAILED


def test_problems_that_need_a_decision_are_reported_not_repaired(
    project: TrackingFolders, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = client.create_experiment("kfp")
    injected = client.create_run(experiment).info.run_id
    client.log_param(injected, "stages", "5")
    monkeypatch.setenv("MLFLOW_RUN_ID", injected)
    with start_run("dgunet/x", "n", tags={"profile": "sample"}, params={"stages": 7}):
        pass
    code, output = doctor()
    assert code == 1 and output.startswith("needs attention: journal")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    code, output = doctor()
    assert code == 1 and "is not available" in output
