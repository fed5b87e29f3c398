"""The journal, without MLflow."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dgunet.system.errors import ConfigError
from dgunet.tracking import TrackingFolders, lookup, pending, project_home, start_run
from dgunet.tracking.delivery.journal_sender import BATCH, BATCHED, _batches
from dgunet.tracking.journal.writing import JournalReader, JournalWriter, readable_journals

TAGS = {"stage": "train", "profile": "sample"}


@pytest.fixture(autouse=True)
def _later(bare: TrackingFolders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DGUNET_TRACKING", "later")


def only_journal(folders: TrackingFolders) -> JournalReader:
    (reader,) = readable_journals(folders.journals)
    return reader


def test_events_keep_their_order_and_their_files(bare: TrackingFolders, tmp_path: Path) -> None:
    report = tmp_path / "report.txt"
    report.write_text("first")
    with start_run("dgunet/x", "n", tags=TAGS, params={"rho": 0.5}) as run:
        run.log_metrics({"loss": 1.0, "odd": math.nan}, step=3)
        run.log_artifact(report)
        report.write_text("second")
        run.log_artifact(report, "later")
    reader = only_journal(bare)
    machine, *events = reader.events()
    assert Path(machine["file"]).name == "provenance.json"
    assert [e["kind"] for e in events] == ["params", "metrics", "artifact", "artifact", "end"]
    assert events[0]["values"] == {"rho": "0.5"}
    assert events[1]["step"] == 3 and math.isnan(events[1]["values"]["odd"])
    assert [(reader.folder / e["file"]).read_text() for e in events[2:4]] == ["first", "second"]
    assert events[-1]["status"] == "FINISHED"
    assert [e["time"] for e in events] == sorted(e["time"] for e in events)


def test_logging_a_run_does_not_import_mlflow_or_torch(bare: TrackingFolders) -> None:
    code = (
        "import sys\nfrom dgunet.tracking import start_run\n"
        "with start_run('dgunet/x', 'n', tags={'profile': 'sample'}, params={}) as run:\n"
        "    run.log_metrics({'loss': 1})\n"
        "print('mlflow' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_a_torn_last_line_is_ignored(bare: TrackingFolders) -> None:
    writer = JournalWriter(bare.journals, {"start": 1})
    writer.append("tags", values={"a": "b"})
    with (writer.folder / "events.jsonl").open("a") as handle:
        handle.write('{"kind": "tags", "val')
    reader = JournalReader(writer.folder)
    assert [e["kind"] for e in reader.events()] == ["tags"]
    reader.close_if_dead()
    assert len(reader.events()) == 1, "the writer is running"
    writer.close()
    reader.close_if_dead()
    assert [e["kind"] for e in reader.events()] == ["tags", "end"]
    assert reader.events()[-1]["status"] == "KILLED"
    reader.close_if_dead()
    assert len(reader.events()) == 2


@pytest.mark.parametrize("name", ["PSNR (dB)", "", "a/../b", "/root", "a//b", "a" * 251, "a/"])
def test_names_that_mlflow_would_refuse_raise_immediately(bare: TrackingFolders, name: str) -> None:
    with start_run("dgunet/x", "n", tags=TAGS, params={}) as run:
        with pytest.raises(ValueError, match="is not a valid name in MLflow"):
            run.log_metrics({name: 1})
        with pytest.raises(ValueError, match="use one of"):
            run.set_result(weights="00")
        with pytest.raises(ValueError, match="model name"):
            run.log_network(Path("x"), "a/b")


def test_a_parameter_cannot_change_its_value(bare: TrackingFolders) -> None:
    with start_run("dgunet/x", "n", tags=TAGS, params={"stages": 7}) as run:
        run.log_params({"stages": 7})
        with pytest.raises(
            ValueError, match="'stages' already has the value '7'; it cannot become '5'"
        ):
            run.log_params({"stages": 5})


@pytest.mark.parametrize(("variable", "value"), [("DGUNET_TRACKING", "off"), ("RANK", "1")])
def test_disabled_tracking_writes_nothing(
    bare: TrackingFolders, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with start_run("dgunet/x", "n", tags=TAGS, params={}) as run:
        run.log_metrics({"loss": 1})
        run.log_artifact(bare.home / "params.yaml")
    assert run.run_id is None
    assert not bare.state.exists()


def test_an_unknown_mode_is_refused_with_the_valid_modes(
    bare: TrackingFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DGUNET_TRACKING", "soon")
    with (
        pytest.raises(
            ConfigError, match=r"'soon' is not a tracking mode\. Use one of now, later, share, off"
        ),
        start_run("dgunet/x", "n", tags=TAGS, params={}),
    ):
        pass


def test_lookup_finds_an_undelivered_run(bare: TrackingFolders) -> None:
    with start_run("dgunet/x", "n", tags=TAGS, params={}) as run:
        run.set_result(checkpoint="c0ffee")
    found = lookup("c0ffee")
    assert found is not None
    assert (found.name, found.status, found.run_id) == ("n", "FINISHED", None)
    assert found.journal == run.journal_id
    assert lookup("decade") is None
    assert [info.name for info in pending(bare)] == ["n"]


def test_a_journal_that_is_being_removed_is_skipped(bare: TrackingFolders) -> None:
    for name in ("a", "b"):
        with start_run("dgunet/x", name, tags=TAGS, params={}):
            pass
    readable_journals(bare.journals)[0].folder.joinpath("header.json").unlink()
    assert [info.name for info in pending(bare)] == ["b"]


def test_the_project_home_is_searched_upwards(
    bare: TrackingFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = bare.home / "build" / "x"
    deep.mkdir(parents=True)
    monkeypatch.delenv("DGUNET_HOME")
    assert project_home(deep) == bare.home
    monkeypatch.chdir(deep)
    assert project_home() == bare.home
    assert str(bare.uri) == f"sqlite:///{bare.home}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert str(bare.uri) == "http://mlflow:5000"


def git(home: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    command = ["git", *identity, "-C", str(home), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_standard_tags_identify_code_data_and_campaign(
    bare: TrackingFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(bare.home.parent))
    monkeypatch.delenv("DGUNET_GIT_COMMIT")

    machine: list[dict[str, Any]] = []

    def tags() -> dict[str, str]:
        with start_run("dgunet/x", "n", tags=TAGS, params={}) as run:
            pass
        journal = JournalReader(bare.journals / run.journal_id)
        machine.append(json.loads((journal.folder / journal.events()[0]["file"]).read_text()))
        return dict(journal.header["tags"])

    outside = tags()
    assert outside["git.commit"] == outside["git.dirty"] == outside["data.digest"] == "unknown"
    assert outside["campaign"] == "sample-local"
    git(bare.home, "init", "-q")
    (bare.home / "data.dvc").write_text("outs:\n- md5: 0123abcd.dir\n  path: data\n")
    locks = ("dvc.lock", "pipelines/trained/dvc.lock")
    (bare.home / "pipelines/trained").mkdir(parents=True)
    for lock in locks:
        (bare.home / lock).write_text("1")
    git(bare.home, "add", "-A", "--", "params.yaml", "data.dvc", *locks)
    git(bare.home, "commit", "-q", "-m", "m")
    for lock in locks:
        (bare.home / lock).write_text("2")
    monkeypatch.setenv("DGUNET_CAMPAIGN", "night")
    monkeypatch.setenv("DVC_STAGE", "train@derain")
    clean = tags()
    assert clean["git.commit"] == git(bare.home, "rev-parse", "HEAD")
    assert clean["git.dirty"] == "false", "dvc.lock is rewritten by the pipeline itself"
    assert clean["data.digest"] == "0123abcd.dir"
    assert clean["campaign"] == "night"
    assert clean["dgunet.process"] == f"{machine[-1]['host']} {os.getpid()}"
    assert machine[-1]["dvc"]["stage"] == "train@derain" and machine[-1]["packages"]["torch"]
    assert not {"host", "pid", "dvc.stage"} & set(clean), "nobody searches for them"
    (bare.home / "params.yaml").write_text("profile: paper\n")
    assert tags()["git.dirty"] == "true"


@pytest.mark.skipif(os.geteuid() == 0, reason="root can write everywhere")
def test_a_read_only_project_raises_a_clear_error(bare: TrackingFolders) -> None:
    bare.home.chmod(0o555)
    from dgunet.system.errors import DgunetError

    with (
        pytest.raises(DgunetError, match="cannot write"),
        start_run("dgunet/x", "n", tags=TAGS, params={}),
    ):
        pass


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(["metrics", "params", "tags", "artifact", "end"]), max_size=500))
def test_batches_are_the_events_in_order(kinds: list[str]) -> None:
    events = [{"kind": kind, "n": n} for n, kind in enumerate(kinds)]
    batches = list(_batches(events))
    assert [event for batch in batches for event in batch] == events
    for batch in batches:
        assert len(batch) == 1 or all(e["kind"] in BATCHED for e in batch)
        assert len(batch) <= BATCH


def test_the_header_is_readable_json(bare: TrackingFolders) -> None:
    with start_run("dgunet/x", "naïve", tags=TAGS, params={}) as run:
        pass
    header = json.loads((bare.journals / run.journal_id / "header.json").read_text())
    assert header["name"] == "naïve"
    assert header["journal"] == run.journal_id
