"""How runs end: real processes that fail, are stopped by a signal, or are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from dgunet.tracking import TrackingFolders, deliver, delivered, machine_metrics, start_run
from dgunet.tracking.journal.writing import readable_journals
from dgunet.tracking.tracking_mode import Mode

STAGE = """
import sys, time
from dgunet.system.errors import DataError
from dgunet.tracking import start_run
with start_run("dgunet/x", sys.argv[1], tags={"stage": "t", "profile": "sample"}, params={}) as r:
    r.log_metrics({"loss": 1.0}, step=1)
    {body}
"""
WAIT = "print('ready', flush=True); time.sleep(60)"


def start(name: str, body: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", STAGE.replace("{body}", body), name],
        env=os.environ | {"DGUNET_TRACKING": "later"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_every_way_a_run_ends_is_recorded_with_status_and_reason(
    project: TrackingFolders, client: Any
) -> None:
    ended = {
        "fails": start("fails", "raise DataError('a.png is torn.', 'Copy it\\nagain.')"),
        "leaves": start("leaves", "sys.exit(3)"),
        "done": start("done", "sys.exit(0)"),
    }
    stopped = {
        "term": (start("term", WAIT), signal.SIGTERM),
        "int": (start("int", WAIT), signal.SIGINT),
        "kill": (start("kill", WAIT), signal.SIGKILL),
    }
    for process, number in stopped.values():
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.send_signal(number)
    codes = {name: process.wait(20) for name, process in ended.items()}
    codes |= {name: process.wait(20) for name, (process, _) in stopped.items()}
    assert codes == {"fails": 1, "leaves": 3, "done": 0, "term": 143, "int": -2, "kill": -9}
    outcome = deliver(project)
    assert sorted(outcome.sent) == sorted(codes)
    runs = {info.name: client.get_run(info.run_id) for info in delivered(project)}
    ends = {name: (run.info.status, run.data.tags.get("error", "")) for name, run in runs.items()}
    assert ends == {
        "fails": ("FAILED", "DataError: a.png is torn. Copy it"),
        "leaves": ("FAILED", "SystemExit: 3"),
        "done": ("FINISHED", ""),
        "term": ("KILLED", "terminated (SIGTERM)"),
        "int": ("KILLED", "interrupted (Ctrl-C)"),
        "kill": (
            "KILLED",
            "the process died before its end was recorded (killed, or machine stopped)",
        ),
    }
    assert all(run.data.metrics == {"loss": 1.0} for run in runs.values())


def test_the_exception_is_propagated(project: TrackingFolders) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        start_run("dgunet/x", "n", tags={"profile": "sample"}, params={}),
    ):
        _ = 1 / 0
    (info,) = delivered(project)
    assert info.status == "FAILED"


def test_an_existing_sigterm_handler_is_kept(
    bare: TrackingFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DGUNET_TRACKING", "later")
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    try:
        with start_run("dgunet/x", "n", tags={"profile": "sample"}, params={}):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == [signal.SIGTERM]
    (reader,) = readable_journals(bare.journals)
    assert reader.events()[-1]["status"] == "FINISHED"


def test_parallel_projects_create_a_missing_store_once(
    bare: TrackingFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a lock, each process would migrate the new sqlite file and damage it."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{bare.home / 'shared.db'}")
    code = STAGE.replace("{body}", "r.log_metrics({'psnr': 30.0})")
    homes = [bare.home / f"clone {n}" for n in range(3)]
    writers = []
    for home in homes:
        home.mkdir()
        command = [sys.executable, "-c", code, home.name]
        environment = os.environ | {"DGUNET_HOME": str(home)}
        writers.append(
            subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        )
    for writer in writers:
        _, errors = writer.communicate(timeout=120)
        assert (writer.returncode, errors) == (0, "")
    runs = [info for home in homes for info in delivered(TrackingFolders(home))]
    assert [info.name for info in runs] == [home.name for home in homes]
    assert len({info.run_id for info in runs}) == 3
    assert not list(bare.home.glob("*.partial"))


def test_a_resumed_training_continues_its_run(project: TrackingFolders, client: Any) -> None:
    """Even if nothing of the first part had been delivered before the second part began."""
    first = start("part 1", WAIT)
    assert first.stdout is not None and first.stdout.readline() == "ready\n"
    first.send_signal(signal.SIGKILL)
    first.wait(20)
    (journal,) = readable_journals(project.journals)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DGUNET_TRACKING", "later")
        tags = {"profile": "sample", "resumed.journal": journal.id}
        with start_run("dgunet/x", "part 2", tags=tags, params={}) as second:
            second.log_metrics({"loss": 0.5}, step=2)
    assert len(deliver(project).sent) == 2
    ids = {info.run_id for info in delivered(project)}
    assert ids == {second.run_id}
    run = client.get_run(second.run_id)
    assert (run.info.status, "error" in run.data.tags) == ("FINISHED", False)
    assert [m.step for m in client.get_metric_history(second.run_id, "loss")] == [1, 2]


@pytest.mark.parametrize("mode", ["now", "later"])
def test_the_result_is_logged_before_the_load_of_the_machine(
    project: TrackingFolders, client: Any, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    """MLflow's comparison draws the metric that the store lists first."""
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.02")
    sampled, real = threading.Event(), machine_metrics.sample_load
    sample = lambda me: (real(me), sampled.set())[0]  # noqa: E731
    monkeypatch.setattr(machine_metrics, "sample_load", sample)
    with start_run("dgunet/x", "n", tags={"profile": "sample"}, params={}, mode=mode) as run:
        assert sampled.wait(30)
        run.log_metrics({"psnr": 30.0, "ssim": 0.9})
        sampled.clear()
        assert sampled.wait(30)
    deliver(project)
    (info,) = delivered(project)
    points = client.get_run(info.run_id).data.metrics
    assert list(points)[:2] == ["psnr", "ssim"] and len(points) > 2
    (point,) = client.get_metric_history(info.run_id, "psnr")
    load = client.get_metric_history(info.run_id, "system/cpu_utilization_percentage")
    assert min(m.timestamp for m in load) <= point.timestamp, "the time is that of the sample"


def test_system_metrics_are_recorded_with_the_run(
    project: TrackingFolders, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    with start_run("dgunet/x", "n", tags={"profile": "sample"}, params={"seed": 3}) as run:
        time.sleep(0.4)
    arrived = client.get_run(run.run_id)
    load = arrived.data.metrics
    assert 0 <= load["system/cpu_utilization_percentage"] <= 100
    assert load["system/process_memory_usage_megabytes"] > 10
    history = client.get_metric_history(run.run_id, "system/system_memory_usage_percentage")
    assert [m.step for m in history] == list(range(len(history))) and len(history) > 1
    assert delivered(project)[-1].metrics == {}, "the local list omits system metrics"
    assert "seed" not in arrived.data.tags, "a parameter is no tag as well"
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    with start_run("dgunet/x", "n", tags={"profile": "sample"}, params={}) as run:
        time.sleep(0.1)
    assert client.get_run(run.run_id).data.metrics == {}
