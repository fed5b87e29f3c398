"""What the waiting step says of its TrainJob."""

import pytest
from kubernetes_standin import becomes, pod

from dgunet.kubeflow.trainer.job_log import JobLog, describe_progress
from dgunet.kubeflow.trainer.multi_node import logger

STATUS = {
    "progressPercentage": 42,
    "estimatedRemainingSeconds": 11_500,
    "metrics": [{"name": "loss", "value": "0.0123"}, {"name": "validation_psnr", "value": "31.2"}],
    "lastUpdatedTime": "2026-01-01T00:00:00Z",
}


def job(**changes):
    """A job on two nodes that has reported its progress."""
    return {"spec": {"trainer": {"numNodes": 2}}, "status": {"trainerStatus": STATUS | changes}}


@pytest.fixture
def told():
    """A log with a clock that the test sets: (log, lines, clock)."""
    lines, clock = [], [0.0]
    return JobLog(lines.append, lambda: clock[0]), lines, clock


def test_progress_is_described_as_far_as_it_is_known():
    assert describe_progress(job()) == "42 %, 3.2 h left, loss 0.0123, validation_psnr 31.2"
    assert describe_progress(job(metrics=None, estimatedRemainingSeconds=None)) == "42 %"
    assert describe_progress(job(progressPercentage=0, metrics=[])) == "0 %, 3.2 h left"
    assert describe_progress({"spec": {}, "status": {"trainerStatus": None}}) == ""
    assert describe_progress({"spec": {}}) == ""


def test_new_progress_is_logged_once_a_minute_and_a_new_state_at_once(told):
    log, lines, clock = told
    pods = [pod(0), pod(1)]
    for seconds in range(0, 181, 15):
        clock[0] = float(seconds)
        log.follow(job(progressPercentage=seconds), pods)
    assert [line.split("; ")[1].split(" %")[0] for line in lines] == ["0", "60", "120", "180"]
    log.follow(job(), pods[:1])
    assert lines[-1].startswith("2 nodes: 1 Running; 42 %, ")


def test_a_long_silence_is_broken_with_the_time_since_the_last_change(told):
    log, lines, clock = told
    for seconds in range(0, 901, 15):
        clock[0] = float(seconds)
        log.follow({"spec": {"trainer": {"numNodes": 2}}}, [])
    assert lines == [
        "no pods yet",
        "no pods yet; unchanged for 5 min",
        "no pods yet; unchanged for 10 min",
        "no pods yet; unchanged for 15 min",
    ]


def test_standin_the_step_repeats_the_progress_of_the_trainjob(step, monkeypatch):
    lines = []
    monkeypatch.setattr(logger, "info", lambda text, *given: lines.append(text % given))

    def reports(job):
        step.cluster.pods = [pod(0), pod(1)]
        job["status"] = {"trainerStatus": STATUS}

    step.cluster.moments = [reports, step.trains, becomes("Complete")]
    step.run()
    assert f"{step.name}: 2 nodes: 2 Running; {describe_progress(job())}" in lines
