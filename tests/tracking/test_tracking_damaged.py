"""One damaged journal is set aside and named; every other run arrives."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from dgunet import network
from dgunet.cli.tracking_commands import tracking
from dgunet.system import files, line_files
from dgunet.tracking import TrackingFolders, deliver, delivered, lookup, pending, start_run
from dgunet.tracking.index import damaged_lines
from dgunet.tracking.journal import damage
from dgunet.tracking.journal.reading import scan_journals
from dgunet.tracking.journal.writing import JournalReader, JournalWriter

TAGS = {"stage": "evaluate", "profile": "sample"}


@pytest.fixture(autouse=True)
def _later(project: TrackingFolders, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DGUNET_TRACKING", "later")
    damage._reported.clear()
    yield
    damage._reported.clear()


def tell(name: str, project: TrackingFolders, *, files: bool = False) -> Path:
    """Leave a journal; gives its folder."""
    with start_run("dgunet/x", name, tags=TAGS, params={"stages": 7}) as run:
        run.log_metrics({"loss": 1.0}, step=1)
        run.log_metrics({"loss": 0.5}, step=2)
        if files:
            run.log_artifact(project.home / "params.yaml")
            run.log_metrics({"loss": 0.25}, step=3)
        run.set_result(checkpoint=f"c0ffee{name}")
    return project.journals / run.journal_id


def command(*arguments: str) -> tuple[int, str]:
    told = CliRunner().invoke(tracking, list(arguments))
    assert told.exception is None or isinstance(told.exception, SystemExit), told.exception
    return told.exit_code, told.output


def line_of(folder: Path, number: int, change: Callable[[bytes], bytes]) -> None:
    """Change one line of the events."""
    path = folder / "events.jsonl"
    whole = path.read_bytes().splitlines(keepends=True)
    whole[number] = change(whole[number])
    path.write_bytes(b"".join(whole))


def retold(journal: Path, number: int, **change: Any) -> None:
    """Change fields of an event and make its check sum again; None removes a field."""

    def again(line: bytes) -> bytes:
        event = line_files.parse_line(line.rstrip(b"\n")) | change
        return line_files.format_line({key: one for key, one in event.items() if one is not None})

    line_of(journal, number, again)


def reheaded(folder: Path, **change: Any) -> None:
    path = folder / "header.json"
    header = line_files.parse_line(path.read_bytes().rstrip(b"\n")) | change
    path.write_bytes(line_files.format_line(header))


def write(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


def duplicate(folder: Path) -> None:
    path = folder / "events.jsonl"
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*whole[:2], whole[1], *whole[2:]]))


def drop(folder: Path) -> None:
    path = folder / "events.jsonl"
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([whole[0], *whole[2:]]))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "header missing": lambda folder: (folder / "header.json").unlink(),
    "header empty": write("header.json", b""),
    "header torn": lambda f: os.truncate(f / "header.json", 40),
    "header no JSON": write("header.json", b"\xff\xfe\x00{"),
    "header a list": write("header.json", b"[1, 2]"),
    "header nested": write("header.json", b"[" * 100_000),
    "header a folder": lambda f: ((f / "header.json").unlink(), (f / "header.json").mkdir()),
    "header a pipe": lambda f: ((f / "header.json").unlink(), os.mkfifo(f / "header.json")),
    "header edited": lambda f: (f / "header.json").write_bytes(
        (f / "header.json").read_bytes().replace(b"dgunet/x", b"dgunet/y")
    ),
    "header without name": write("header.json", b'{"journal": "x"}'),
    "name a number": lambda f: reheaded(f, name=5),
    "tags a list": lambda f: reheaded(f, tags=["a"]),
    "a tag a number": lambda f: reheaded(f, tags={"a": 1}),
    "start a text": lambda f: reheaded(f, start="yesterday"),
    "adopt a list": lambda f: reheaded(f, adopt=[]),
    "another's header": lambda f: reheaded(f, journal="20200101T000000.000000-00000000"),
    "blank line": lambda f: line_of(f, 1, lambda _: b"\n"),
    "torn line in the middle": lambda f: line_of(f, 2, lambda line: line[:20] + b"\n"),
    "NULs": lambda f: line_of(f, 1, lambda line: b"\0" * (len(line) - 1) + b"\n"),
    "bad UTF-8": lambda f: line_of(f, 2, lambda line: line.replace(b"loss", b"l\xffss")),
    "edited number": lambda f: line_of(f, 2, lambda line: line.replace(b"1.0", b"9.0")),
    "line without its sum": lambda f: line_of(
        f, 1, lambda line: line.split(b', "sum"')[0] + b"}\n"
    ),
    "line twice": duplicate,
    "line gone": drop,
    "events missing": lambda f: (f / "events.jsonl").unlink(),
    "events a folder": lambda f: ((f / "events.jsonl").unlink(), (f / "events.jsonl").mkdir()),
    "bytes after the end": lambda f: (f / "events.jsonl").open("ab").write(b"{"),
    "no kind": lambda f: retold(f, 1, kind=None),
    "unknown kind": lambda f: retold(f, 1, kind="poem"),
    "kind a list": lambda f: retold(f, 1, kind=[]),
    "no time": lambda f: retold(f, 1, time=None),
    "time a text": lambda f: retold(f, 1, time="now"),
    "time too large": lambda f: retold(f, 1, time=2**70),
    "values a list": lambda f: retold(f, 2, values=[1]),
    "value a text": lambda f: retold(f, 2, values={"loss": "low"}),
    "value too large": lambda f: retold(f, 2, values={"loss": 10**400}),
    "step true": lambda f: retold(f, 2, step=True),
    "a second end": lambda f: retold(f, 1, kind="end", status="FINISHED"),
    "unknown status": lambda f: retold(f, -1, status="WONDERFUL"),
    "file outside": lambda f: retold(f, 1, kind="artifact", file="../../x", folder=""),
    "file a link that leads out": lambda f: (
        retold(f, 1, kind="artifact", file="artifacts/x", folder=""),
        (f / "artifacts/x").symlink_to("/etc/passwd"),
    ),
    "file absolute": lambda f: retold(f, 1, kind="artifact", file="/etc/passwd", folder=""),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_damage_is_set_aside_and_named_and_the_others_arrive(
    project: TrackingFolders, how: str
) -> None:
    (spoilt, *_) = [tell(name, project) for name in ("spoilt", "sound", "safe")]
    DAMAGE[how](spoilt)
    found = scan_journals(project.journals)
    assert [one.path for one in found.damaged] == [spoilt] and len(found.whole) == 2
    outcome = deliver(project)
    assert outcome.sent == ["sound", "safe"] and outcome.waits is None
    (told,) = outcome.aside
    assert spoilt.name in told and "\n" not in told
    (place,) = project.damaged.iterdir()
    reason = (place / damage.REASON).read_text()
    assert place.name == spoilt.name and reason.splitlines()[0] in told and str(spoilt) in reason
    assert not spoilt.exists() and pending(project) == []
    assert [info.name for info in delivered(project)] == ["sound", "safe"]
    assert lookup("c0ffeespoilt") is None and lookup("c0ffeesafe") is not None


def test_every_command_ends_well_and_names_it_once(
    project: TrackingFolders, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spoilt = tell("spoilt", project)
    tell("sound", project)
    (spoilt / "header.json").write_text("")
    (project.journals / "notes.txt").write_text("a stray file")
    (project.journals / "a folder").mkdir()
    code, told = command("status")
    assert code == 0 and "waiting:      1" in told
    named = [line for line in told.splitlines() if "is damaged: " in line]
    assert len(named) == 3 and sum(spoilt.name in line for line in named) == 1
    code, told = command("doctor", "--dry-run")
    assert code == 1 and f"found: journal {spoilt.name}: it is damaged" in told
    assert lookup("c0ffeesound") is not None
    assert spoilt.exists(), "only a delivery moves it"
    code, told = command("sync")
    assert code == 1 and "sent 1 run to" in told and "0 left" in told
    assert told.count("set aside: ") == 3 and spoilt.name in told
    assert (project.damaged / "notes.txt" / "notes.txt").read_text() == "a stray file"
    assert command("sync") == (0, f"sent 0 runs to {project.uri}; 0 left\n")
    code, told = command("status")
    assert code == 0 and "damaged:      3, see" in told
    code, told = command("doctor")
    assert code == 1 and told.count("needs attention: ") == 3
    monkeypatch.setenv("DGUNET_TRACKING", "now")
    torn = tell("torn", project)
    assert not torn.exists()


def test_a_stage_ends_well_beside_a_damaged_journal_and_when_its_own_is_damaged(
    project: TrackingFolders, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tell("other", project)
    (other / "events.jsonl").write_bytes(b"\n\n")
    monkeypatch.setenv("DGUNET_TRACKING", "now")
    with start_run("dgunet/x", "own", tags=TAGS, params={}) as run:
        (project.journals / run.journal_id / "header.json").write_text("{")
        run.log_metrics({"loss": 1.0})
        assert run.run_id is None
        assert run.flush().sent == []
    told = capsys.readouterr().err.splitlines()
    assert [line.count("moved to") for line in told if line.startswith("dgunet: ")] == [1, 1]
    assert len(list(project.damaged.iterdir())) == 2


@pytest.mark.parametrize("gone", ["journal", "state", "alive"])
def test_a_run_whose_journal_is_removed_meanwhile_ends_well(
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
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "the disk is full" in told


def test_a_line_that_a_full_disk_cut_is_taken_back(
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
    told = JournalReader(writer.folder).events()
    assert [event["values"]["a"] for event in told] == ["1", "3"]


def test_the_journal_of_a_living_process_stays(project: TrackingFolders) -> None:
    folder = tell("n", project)
    (folder / "header.json").write_text("")
    with (folder / "alive").open("a") as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        outcome = deliver(project)
        assert outcome.aside == [] and folder.exists()
        assert outcome.waits is not None and "its process is running" in outcome.waits
    assert len(deliver(project, persist=True).aside) == 1 and not folder.exists()


def test_a_torn_last_line_of_a_killed_process_is_no_damage(project: TrackingFolders) -> None:
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


@pytest.mark.parametrize(
    "cursor", [b"", b"{", b"[]", b'{"sent": 999}', b'{"sent": "x"}', b'{"sen": 1}', b"\xff\0", None]
)
def test_a_broken_cursor_loses_and_doubles_nothing(
    project: TrackingFolders, client: Any, cursor: bytes | None
) -> None:
    """Half of the run was sent; it goes on in the same run."""
    with start_run("dgunet/x", "n", tags=TAGS, params={"stages": 7}) as run:
        run.log_metrics({"loss": 1.0, "odd": float("nan"), "big": float("inf")}, step=1)
        run.log_dataset("Rain100H", "0" * 64, "data", "evaluation")
        assert deliver(project, only=run.journal_id).reason is None
        first = run.run_id
        run.log_metrics({"loss": 0.5}, step=2)
    place = project.journals / run.journal_id / "cursor.json"
    place.write_bytes(cursor) if cursor is not None else place.unlink()
    tell("other", project)
    outcome = deliver(project)
    assert outcome.sent == ["n", "other"] and outcome.reason is None
    assert len(outcome.notes) == (cursor not in (None, b'{"sent": 999}'))
    infos = {info.name: info.run_id for info in delivered(project)}
    assert infos["n"] == first
    arrived = client.get_run(first)
    assert [m.value for m in client.get_metric_history(first, "loss")] == [1.0, 0.5]
    assert len(client.get_metric_history(first, "odd")) == 1
    assert len(arrived.inputs.dataset_inputs) == 1 and arrived.info.status == "FINISHED"
    assert len(client.search_runs([arrived.info.experiment_id])) == 2


@pytest.mark.parametrize("how", ["missing", "changed", "a link", "a pipe"])
def test_a_missing_file_holds_up_only_its_own_run(
    project: TrackingFolders, client: Any, how: str
) -> None:
    folders = [tell(f"run {n}", project, files=n == 3) for n in range(7)]
    (kept,) = folders[3].glob("artifacts/*/params.yaml")
    content = kept.read_bytes()
    kept.unlink()
    if how == "changed":
        kept.write_bytes(content + b"#")
    elif how == "a link":
        (kept.parent / "true.yaml").write_bytes(content)
        kept.symlink_to("true.yaml")
    elif how == "a pipe":
        os.mkfifo(kept)
    code, told = command("sync")
    assert code == 1 and "sent 6 runs" in told and "0 left" in told
    assert "run 'run 3'" in told and str(kept) in told
    info = {one.name: one for one in delivered(project)}["run 3"]
    arrived = client.get_run(info.run_id)
    assert (arrived.info.status, arrived.data.metrics["loss"]) == ("FINISHED", 0.25)
    assert str(kept) in arrived.data.tags["dgunet.lost"]
    assert command("sync")[0] == 0, "it is not tried again for ever"
    (aside,) = project.damaged.iterdir()
    back = aside.rename(folders[3])
    (file,) = back.glob("artifacts/*")
    (file / "true.yaml").unlink(missing_ok=True)
    (file / "params.yaml").unlink(missing_ok=True)
    (file / "params.yaml").write_bytes(content)
    assert deliver(project, persist=True).sent == ["run 3"]
    mended = client.get_run(info.run_id)
    assert "dgunet.lost" not in mended.data.tags
    assert [f.path for f in client.list_artifacts(info.run_id)] == ["params.yaml"]
    assert len(client.get_metric_history(info.run_id, "loss")) == 3
    assert len(client.search_runs([arrived.info.experiment_id])) == 7


def test_a_journal_of_an_earlier_version_arrives(project: TrackingFolders, client: Any) -> None:
    """No check sums, no numbers, an indented header and cursor."""
    folder = tell("old", project, files=True)
    header = line_files.parse_line((folder / "header.json").read_bytes().rstrip(b"\n"))
    (folder / "header.json").write_text(json.dumps(header, indent=2) + "\n")
    events = JournalReader(folder)
    told = [
        {key: one for key, one in event.items() if key not in ("n", "sha256")}
        for event in line_files.read_lines(folder / "events.jsonl").entries
    ]
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in told))
    assert events.cursor().sent == 0
    assert deliver(project).sent == ["old"]
    (info,) = delivered(project)
    assert [f.path for f in client.list_artifacts(info.run_id)] == ["params.yaml"]


def test_a_damaged_line_of_the_index_is_passed_over_and_named(project: TrackingFolders) -> None:
    for name in ("a", "b", "c"):
        tell(name, project)
    assert len(deliver(project).sent) == 3
    whole = project.index.read_bytes().splitlines(keepends=True)
    old = json.loads(whole[2])
    del old["sum"]
    odd = [
        b"\n",
        b"\xff\0\n",
        line_files.format_line({"journal": "x"}),
        line_files.format_line(old | {"tags": "none"}),
        line_files.format_line(old | {"more": 1}),
        whole[1].replace(b'"b"', b'"z"'),
        json.dumps(old | {"name": "of an earlier version", "journal": "j"}).encode() + b"\n",
    ]
    project.index.write_bytes(b"".join([whole[0], *odd, whole[2], b'{"torn']))
    assert [one.name for one in delivered(project)] == ["a", "of an earlier version", "c"]
    assert [number for number, _ in damaged_lines(project)] == [2, 3, 4, 5, 6, 7]
    code, told = command("doctor")
    assert code == 1 and told.count("needs attention: line") == 6
    assert command("status")[0] == 0
    tell("d", project)
    assert deliver(project).sent == ["d"]
    assert [one.name for one in delivered(project)][-1] == "d", "a torn line hides no later one"
    project.index.unlink()
    project.index.mkdir()
    assert delivered(project) == []
    code, told = command("doctor")
    assert code == 1 and "its runs are in MLflow, so move it away" in told
    tell("e", project)
    assert "runs.jsonl" in str(deliver(project).waits)


def test_half_made_journals_of_dead_processes_go_with_the_next_run(
    project: TrackingFolders,
) -> None:
    code = (
        "import os, signal, pathlib, sys\nfrom dgunet.system import files\n"
        "files.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from dgunet.tracking.journal.writing import JournalWriter\n"
        "JournalWriter(pathlib.Path(sys.argv[1]), {'start': 1})"
    )
    subprocess.run([sys.executable, "-c", code, str(project.journals)], check=False)
    assert len(list(project.journals.iterdir())) == 1
    tell("next", project)
    assert [path.name for path in project.journals.iterdir()] == [
        reader.id for reader in scan_journals(project.journals).whole
    ]


@settings(deadline=None, max_examples=80, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_bytes_in_a_journal_lead_to_a_traceback(
    project: TrackingFolders, data: st.DataObject
) -> None:
    shutil.rmtree(project.state, ignore_errors=True)
    folder = tell("n", project)
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


def test_scores_of_a_model_are_sent_again_without_doubling(
    project: TrackingFolders, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The doubtful numbers too: MLflow keeps a model's metrics apart from the run's."""
    weights = tmp_path / "network.safetensors"
    tiny = network.preset("derain", n_feat=8, scale=4, stages=3)
    network.save_network(network.DGUNet(tiny), weights, {})
    with start_run("dgunet/x", "train", tags=TAGS, params={}) as run:
        run.log_network(weights, "derain")
    assert deliver(project).reason is None
    with start_run("dgunet/x", "evaluate", tags=TAGS, params={}) as run:
        dataset = run.log_dataset("Rain100H", "0" * 64, "data", "evaluation")
        scores = {"psnr": 30.0, "odd": float("nan"), "big": float("inf")}
        run.log_scores(scores, checkpoint=files.sha256_file(weights), dataset=dataset)
    folder = project.journals / run.journal_id
    copy = project.home / "copy"
    shutil.copytree(folder, copy)
    assert deliver(project).sent == ["evaluate"]

    def facts() -> Any:
        arrived = client.get_run(delivered(project)[-1].run_id)
        (model,) = client.search_logged_models([arrived.info.experiment_id])
        return (
            arrived.info.run_id,
            len(arrived.inputs.model_inputs),
            len(arrived.inputs.dataset_inputs),
            sorted((m.key, m.dataset_name, m.step) for m in model.metrics),
            [len(client.get_metric_history(arrived.info.run_id, key)) for key in scores],
        )

    before = facts()
    assert before[1:3] == (1, 1) and len(before[3]) == 3 and before[4] == [1, 1, 1]
    copy.rename(folder)
    assert not (folder / "cursor.json").exists()
    assert deliver(project).sent == ["evaluate"]
    assert facts() == before
