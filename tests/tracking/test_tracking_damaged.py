"""A damaged journal is reported and moved; every other run is delivered."""

from __future__ import annotations

import fcntl
import shutil
import signal
import subprocess
import sys
from typing import Any

import pytest
from damaged_journals import DAMAGE, TAGS, leave_journal, run_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dgunet.system import line_files
from dgunet.tracking import TrackingFolders, deliver, delivered, lookup, pending, start_run
from dgunet.tracking.journal import damage
from dgunet.tracking.journal.reading import scan_journals
from dgunet.tracking.journal.writing import JournalReader, JournalWriter

pytestmark = pytest.mark.usefixtures("deliver_later")


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_journal_is_set_aside_and_the_others_are_delivered(
    project: TrackingFolders, how: str
) -> None:
    (damaged, *_) = [leave_journal(name, project) for name in ("spoilt", "sound", "safe")]
    DAMAGE[how](damaged)
    found = scan_journals(project.journals)
    assert [one.path for one in found.damaged] == [damaged] and len(found.whole) == 2
    outcome = deliver(project)
    assert outcome.sent == ["sound", "safe"] and outcome.waits is None
    (message,) = outcome.aside
    assert damaged.name in message and "\n" not in message
    (folder,) = project.damaged.iterdir()
    reason = (folder / damage.REASON).read_text()
    assert folder.name == damaged.name and reason.splitlines()[0] in message
    assert str(damaged) in reason
    assert not damaged.exists() and pending(project) == []
    assert [info.name for info in delivered(project)] == ["sound", "safe"]
    assert lookup("c0ffeespoilt") is None and lookup("c0ffeesafe") is not None


def test_every_command_reports_a_damaged_journal_once_and_continues(
    project: TrackingFolders, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = leave_journal("spoilt", project)
    leave_journal("sound", project)
    (damaged / "header.json").write_text("")
    (project.journals / "notes.txt").write_text("a stray file")
    (project.journals / "a folder").mkdir()
    code, output = run_command("status")
    assert code == 0 and "waiting:      1" in output
    named = [line for line in output.splitlines() if "is damaged: " in line]
    assert len(named) == 3 and sum(damaged.name in line for line in named) == 1
    code, output = run_command("doctor", "--dry-run")
    assert code == 1 and f"found: journal {damaged.name}: it is damaged" in output
    assert lookup("c0ffeesound") is not None
    assert damaged.exists(), "only a delivery moves a journal"
    code, output = run_command("sync")
    assert code == 1 and "sent 1 run to" in output and "0 left" in output
    assert output.count("set aside: ") == 3 and damaged.name in output
    assert (project.damaged / "notes.txt" / "notes.txt").read_text() == "a stray file"
    assert run_command("sync") == (0, f"sent 0 runs to {project.uri}; 0 left\n")
    code, output = run_command("status")
    assert code == 0 and "damaged:      3, see" in output
    code, output = run_command("doctor")
    assert code == 1 and output.count("needs attention: ") == 3
    monkeypatch.setenv("DGUNET_TRACKING", "now")
    torn = leave_journal("torn", project)
    assert not torn.exists()


def test_a_stage_succeeds_although_another_or_its_own_journal_is_damaged(
    project: TrackingFolders, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = leave_journal("other", project)
    (other / "events.jsonl").write_bytes(b"\n\n")
    monkeypatch.setenv("DGUNET_TRACKING", "now")
    with start_run("dgunet/x", "own", tags=TAGS, params={}) as run:
        (project.journals / run.journal_id / "header.json").write_text("{")
        run.log_metrics({"loss": 1.0})
        assert run.run_id is None
        assert run.flush().sent == []
    errors = capsys.readouterr().err.splitlines()
    assert [line.count("moved to") for line in errors if line.startswith("dgunet: ")] == [1, 1]
    assert len(list(project.damaged.iterdir())) == 2


@pytest.mark.parametrize("gone", ["journal", "state", "alive"])
def test_removing_the_journal_during_a_run_does_not_fail_the_work(
    project: TrackingFolders, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    monkeypatch.setenv("DGUNET_TRACKING", "now")
    done = []
    with start_run("dgunet/x", "n", tags=TAGS, params={}) as run:
        folder = project.journals / run.journal_id
        if gone == "alive":
            (folder / "alive").unlink()
        else:
            shutil.rmtree(folder if gone == "journal" else project.state)
        run.log_metrics({"loss": 1.0})
        run.log_artifact(project.home / "params.yaml")
        done.append(True)
    assert done == [True]


def test_a_full_disk_at_the_end_does_not_fail_the_work(
    project: TrackingFolders, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with start_run("dgunet/x", "n", tags=TAGS, params={}):
        monkeypatch.setattr(line_files, "append_line", full)
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and "the disk is full" in errors


def test_a_line_truncated_by_a_full_disk_is_removed(
    project: TrackingFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dgunet.system.errors import DgunetError

    writer = JournalWriter(
        project.journals, {"experiment": "e", "name": "n", "start": 1, "tags": {}}
    )
    writer.append("tags", values={"a": "1"})

    def half(handle: Any, entry: Any) -> None:
        handle.write(b'{"kind": "ta')
        handle.flush()
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(line_files, "append_line", half)
        with pytest.raises(DgunetError, match="the disk is full"):
            writer.append("tags", values={"a": "2"})
    writer.append("tags", values={"a": "3"})
    writer.close()
    kept = JournalReader(writer.folder).events()
    assert [event["values"]["a"] for event in kept] == ["1", "3"]


def test_a_damaged_journal_of_a_running_process_is_not_moved(project: TrackingFolders) -> None:
    folder = leave_journal("n", project)
    (folder / "header.json").write_text("")
    with (folder / "alive").open("a") as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        outcome = deliver(project)
        assert outcome.aside == [] and folder.exists()
        assert outcome.waits is not None and "its process is running" in outcome.waits
    assert len(deliver(project, persist=True).aside) == 1 and not folder.exists()


def test_a_torn_last_line_of_a_killed_process_is_not_damage(project: TrackingFolders) -> None:
    code = (
        "import os, signal\nfrom dgunet.tracking import start_run\n"
        "with start_run('dgunet/x', 'killed', tags={'profile': 'sample'}, params={}) as run:\n"
        "    run.log_metrics({'loss': 1.0}, step=1)\n"
        '    run._writer._events.write(b\'{"kind": "met\'); run._writer._events.flush()\n'
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    assert deliver(project).sent == ["killed"]
    (info,) = delivered(project)
    assert (info.status, info.metrics) == ("KILLED", {"loss": 1.0})


@settings(deadline=None, max_examples=80, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_arbitrary_bytes_in_a_journal_never_raise(
    project: TrackingFolders, data: st.DataObject
) -> None:
    shutil.rmtree(project.state, ignore_errors=True)
    folder = leave_journal("n", project)
    name = data.draw(st.sampled_from(["header.json", "events.jsonl", "cursor.json"]))
    path = folder / name
    whole = path.read_bytes() if path.exists() else b"{}"
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole)))
    path.write_bytes(whole[:start] + data.draw(st.binary(max_size=20)) + whole[end:])
    found = scan_journals(project.journals)
    assert len(found.whole) + len(found.damaged) == 1
    pending(project)
    for reader in found.whole:
        reader.cursor()
        reader.close_if_dead()
        assert reader.ended()
    project.index.write_bytes(data.draw(st.binary(max_size=80)))
    delivered(project)
