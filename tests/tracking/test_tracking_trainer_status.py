"""Progress posted to Kubeflow Trainer, against a TLS server that checks it by the CRD's schema."""

from __future__ import annotations

import logging
import os
import time
from itertools import pairwise
from pathlib import Path

import pytest
from trainer_status_server import SCHEMA, TOKEN, faults, status_server, write_certificates

from dgunet.tracking.reports import trainer_status as module
from dgunet.tracking.reports.progress import counting
from dgunet.tracking.reports.trainer_status import StatusServer, telling_trainer, trainer_status

FACTS = {"loss": 0.0123456789, "lr": 2e-4, "validation_psnr": 31.25}
CRDS = Path(os.environ.get("DGUNET_BENCHMARKS", "/nowhere")).parent / "reference" / "crd"


@pytest.fixture
def server(tmp_path, monkeypatch):
    with status_server(tmp_path) as standin:
        for name, value in standin.variables.items():
            monkeypatch.setenv(name, value)
        yield standin


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Waits of hundredths of a second."""
    monkeypatch.setattr(module, "POST_SECONDS", 0.02)
    monkeypatch.setattr(module, "LONGEST_WAIT", 0.05)


def until(condition):
    """Wait until ``condition`` holds."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def train(steps=10, each=lambda done: None, **options):
    """A training of ``steps`` that does nothing but report."""
    options = {"server": StatusServer.from_environment()} | options
    with telling_trainer(lambda *_, **__: None, **options) as report:
        for done in range(1, steps + 1):
            report(done, steps, facts=FACTS)
            each(done)


def test_progress_time_left_and_metrics_arrive_and_the_last_post_is_the_end(server):
    train(each=lambda done: until(lambda: server.requests >= done) if done < 10 else None)
    percents = [status["progressPercentage"] for status in server.accepted]
    assert percents == sorted(percents) and percents[0] == 10 and percents[-1] == 100
    assert "estimatedRemainingSeconds" not in server.accepted[0], "one step has no duration yet"
    last = server.accepted[-1]
    assert last["estimatedRemainingSeconds"] == 0
    assert {m["name"]: m["value"] for m in last["metrics"]} == {
        "loss": "0.0123457",
        "lr": "0.0002",
        "validation_psnr": "31.25",
    }


def test_posts_have_an_interval_and_only_the_newest_progress_is_posted(server, monkeypatch):
    monkeypatch.setattr(module, "POST_SECONDS", 60.0)
    monkeypatch.setattr(module, "LONGEST_WAIT", 60.0)
    train(5000, each=lambda done: until(lambda: server.accepted) if done == 1 else None)
    assert [status["progressPercentage"] for status in server.accepted] == [0, 100]


def test_the_older_names_of_the_variables_are_read(server, monkeypatch):
    for name, value in server.variables.items():
        monkeypatch.delenv(name)
        monkeypatch.setenv(name.replace("SERVER", "STATUS"), value)
    train()
    assert server.accepted[-1]["progressPercentage"] == 100


@pytest.mark.parametrize("case", ["no server", "another process"])
def test_nothing_is_posted_outside_a_trainjob_or_by_another_process(server, case, monkeypatch):
    if case == "no server":
        monkeypatch.delenv("KUBEFLOW_TRAINER_SERVER_URL")
        assert StatusServer.from_environment() is None
        train()
    else:
        train(leads=False)
    assert not server.requests


def warned(caplog):
    """The messages of a training whose posts fail: one warning line without the token."""
    found = [record for record in caplog.records if record.levelno >= logging.WARNING]
    messages = [record.getMessage() for record in found]
    assert len(messages) == 1 and len(messages[0].splitlines()) == 1
    assert "projected-token" not in caplog.text
    assert messages[0].startswith("progress is not shown in the TrainJob: https://127.0.0.1:")
    return messages[0]


def test_a_certificate_of_another_authority_is_refused_and_gets_no_token(server, caplog):
    write_certificates(server.folder, "ca.crt")
    train()
    assert "CERTIFICATE_VERIFY_FAILED" in warned(caplog)
    assert not server.requests


@pytest.mark.parametrize("status", [500, 401, 307])
def test_a_refused_post_is_one_warning_and_later_posts_arrive(server, caplog, status):
    server.answers = [status] * 3
    caplog.set_level(logging.INFO)
    train(each=lambda done: until(lambda: server.accepted) if done == 5 else None)
    assert f"{status} told to refuse Bearer ***" in warned(caplog)
    assert server.accepted[-1]["progressPercentage"] == 100
    assert "accepts the progress again" in caplog.text


def test_failed_posts_are_repeated_after_ever_longer_waits(server, monkeypatch):
    monkeypatch.setattr(module, "POST_SECONDS", 0.01)
    monkeypatch.setattr(module, "LONGEST_WAIT", 0.4)
    times, real = [], StatusServer.post

    def post(self, status):
        times.append(time.monotonic())
        real(self, status)

    monkeypatch.setattr(StatusServer, "post", post)
    server.answers = [500] * 7
    with telling_trainer(lambda *_, **__: None, StatusServer.from_environment()) as report:
        while len(times) < 7:
            report(1, 2, facts=FACTS)
            time.sleep(0.001)
    waits = [after - before for before, after in pairwise(times)]
    assert waits[3] >= 0.16 and waits[4] >= 0.32


def test_a_hanging_server_delays_the_end_by_the_limit_and_no_step(server, monkeypatch, caplog):
    monkeypatch.setattr(module, "TIMEOUT", 30.0)
    monkeypatch.setattr(module, "CLOSE_SECONDS", 0.3)
    server.hangs.set()
    durations = []

    def step(done):
        if done == 1:
            until(lambda: server.requests)
            durations.append(time.monotonic())

    train(10_000, each=step)
    ended = time.monotonic() - durations[0]
    assert 0.3 <= ended < 15 and not server.accepted


def test_a_hanging_server_is_left_after_the_timeout(server, monkeypatch, caplog):
    monkeypatch.setattr(module, "TIMEOUT", 0.1)
    server.hangs.set()

    def step(done):
        if done == 1:
            until(lambda: server.requests)
            server.hangs.clear()
        until(lambda: server.accepted)

    train(2, each=step)
    assert "timed out" in warned(caplog)
    assert server.accepted[-1]["progressPercentage"] == 100


def test_a_token_that_kubernetes_replaced_is_read_anew(server, caplog):
    def step(done):
        until(lambda: len(server.accepted) >= done)
        server.token.write_text(f"a.projected-token.{done}")

    train(3, each=step)
    assert len(server.accepted) == 3 and not caplog.records


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("TOKEN", "/nowhere/token", "No such file or directory: '/nowhere/token'"),
        ("CA_CERT", "/nowhere/ca.crt", "No such file or directory: '/nowhere/ca.crt'"),
        ("URL", "http://127.0.0.1:1/status", "not https, so the token is not sent"),
        ("URL", "https://127.0.0.1:port/status", "Port could not be cast"),
    ],
)
def test_wrong_variables_are_one_warning(server, monkeypatch, caplog, name, value, expected):
    monkeypatch.setenv(f"KUBEFLOW_TRAINER_SERVER_{name}", value)
    train()
    (record,) = caplog.records
    assert expected in record.getMessage() and TOKEN not in record.getMessage()
    assert not server.requests


@pytest.mark.parametrize("token", ["", "two\nlines of-a-token", "\u00e9-token"])
def test_a_damaged_token_is_not_shown(server, caplog, token):
    server.token.write_text(token)
    train()
    (record,) = caplog.records
    assert not token or token.split()[-1] not in record.getMessage()


@pytest.mark.parametrize(
    ("done", "total", "facts", "remaining"),
    [
        (0, 0, {}, None),
        (1, 3, {"loss": float("nan"), "lr": float("inf")}, float("inf")),
        (2_000_000, 2_000_000, {"m" * 100: 1e-300}, -5.0),
        (1, 10**9, FACTS, 1e12),
    ],
)
def test_every_status_meets_the_schema_of_the_crd(done, total, facts, remaining):
    assert faults(trainer_status(done, total, facts, remaining)) == []


def test_the_stand_in_refuses_what_the_crd_refuses():
    good = trainer_status(1, 2, FACTS, 3.0)
    for change, expected in (
        ({"progressPercentage": 101}, "maximum"),
        ({"progressPercentage": 1.5}, "not of type 'integer'"),
        ({"estimatedRemainingSeconds": 2**31}, "not a 'int32'"),
        ({"lastUpdatedTime": "2026-01-01 00:00:00"}, "not a 'date-time'"),
        ({"metrics": [{"name": "loss", "value": 1.0}]}, "not of type 'string'"),
        ({"progress": 1}, "Additional properties"),
    ):
        assert any(expected in fault for fault in faults(good | change)), change
    assert faults({"progressPercentage": 1}) == ["lastUpdatedTime is required"]


@pytest.mark.skipif(not CRDS.is_dir(), reason="needs Trainer's CRDs next to DGUNET_BENCHMARKS")
def test_the_schema_of_the_stand_in_is_that_of_trainers_crd():
    import yaml

    text = (CRDS / "trainer_trainjobs.yaml").read_text()
    crd = yaml.load(text, Loader=yaml.CSafeLoader)["spec"]["versions"][0]
    real = crd["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["trainerStatus"]
    (rule,) = real["x-kubernetes-validations"]
    assert rule["rule"] == "has(self.lastUpdatedTime)"
    real["properties"]["metrics"].pop("maxItems")  # 256; a training has three metrics
    assert plain(real) == plain(SCHEMA)


def plain(schema):
    """The schema without descriptions and without what JSON schema needs to be strict."""
    left_out = ("description", "additionalProperties")
    if not isinstance(schema, dict):
        return schema
    return {
        key: plain(value)
        for key, value in schema.items()
        if key not in left_out and not key.startswith("x-")
    }


def test_lines_say_that_long_work_continues_and_another_process_is_silent(capsys, monkeypatch):
    from dgunet.tracking.reports import progress

    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.03)
    with counting("derain-DGUNet", "step") as report:
        time.sleep(0.1)
        report(3, 9)
        time.sleep(0.1)
    with counting("derain-DGUNet", "step", silent=True) as report:
        time.sleep(0.05)
        report(9, 9)
    time.sleep(0.05)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 2
    assert lines[0].startswith('{"work": "derain-DGUNet", "still_working_after_s": ')
    assert lines[-1].startswith(
        '{"work": "derain-DGUNet", "step": 3, "of": 9, "still_working_after_s": '
    )
