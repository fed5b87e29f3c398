"""Delivery with a damaged cursor or index, missing files, or an earlier version's journals."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from damaged_journals import TAGS, leave_journal, run_command

from dgunet import network
from dgunet.system import files, line_files
from dgunet.tracking import TrackingFolders, deliver, delivered, start_run
from dgunet.tracking.index import damaged_lines
from dgunet.tracking.journal.reading import scan_journals
from dgunet.tracking.journal.writing import JournalReader

pytestmark = pytest.mark.usefixtures("deliver_later")


@pytest.mark.parametrize(
    "cursor", [b"", b"{", b"[]", b'{"sent": 999}', b'{"sent": "x"}', b'{"sen": 1}', b"\xff\0", None]
)
def test_delivery_with_a_broken_cursor_neither_loses_nor_duplicates_data(
    project: TrackingFolders, client: Any, cursor: bytes | None
) -> None:
    """Half of the run was sent; the rest is added to the same MLflow run."""
    with start_run("dgunet/x", "n", tags=TAGS, params={"stages": 7}) as run:
        run.log_metrics({"loss": 1.0, "odd": float("nan"), "big": float("inf")}, step=1)
        run.log_dataset("Rain100H", "0" * 64, "data", "evaluation")
        assert deliver(project, only=run.journal_id).reason is None
        first = run.run_id
        run.log_metrics({"loss": 0.5}, step=2)
    cursor_file = project.journals / run.journal_id / "cursor.json"
    cursor_file.write_bytes(cursor) if cursor is not None else cursor_file.unlink()
    leave_journal("other", project)
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
def test_a_missing_or_changed_file_delays_only_its_own_run(
    project: TrackingFolders, client: Any, how: str
) -> None:
    folders = [leave_journal(f"run {n}", project, files=n == 3) for n in range(7)]
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
    code, output = run_command("sync")
    assert code == 1 and "sent 6 runs" in output and "0 left" in output
    assert "run 'run 3'" in output and str(kept) in output
    info = {one.name: one for one in delivered(project)}["run 3"]
    arrived = client.get_run(info.run_id)
    assert (arrived.info.status, arrived.data.metrics["loss"]) == ("FINISHED", 0.25)
    assert str(kept) in arrived.data.tags["dgunet.lost"]
    assert run_command("sync")[0] == 0, "it is not retried"
    (aside,) = project.damaged.iterdir()
    back = aside.rename(folders[3])
    file = back / kept.parent.relative_to(folders[3])
    (file / "true.yaml").unlink(missing_ok=True)
    (file / "params.yaml").unlink(missing_ok=True)
    (file / "params.yaml").write_bytes(content)
    assert deliver(project, persist=True).sent == ["run 3"]
    mended = client.get_run(info.run_id)
    assert "dgunet.lost" not in mended.data.tags
    arrived_files = [f.path for f in client.list_artifacts(info.run_id)]
    assert arrived_files == ["params.yaml", "provenance.json"]
    assert len(client.get_metric_history(info.run_id, "loss")) == 3
    assert len(client.search_runs([arrived.info.experiment_id])) == 7


def test_a_journal_of_an_earlier_version_is_delivered(
    project: TrackingFolders, client: Any
) -> None:
    """Such a journal has no checksums, no event numbers, and an indented header and cursor."""
    folder = leave_journal("old", project, files=True)
    header = line_files.parse_line((folder / "header.json").read_bytes().rstrip(b"\n"))
    (folder / "header.json").write_text(json.dumps(header, indent=2) + "\n")
    reader = JournalReader(folder)
    old_events = [
        {key: one for key, one in event.items() if key not in ("n", "sha256")}
        for event in line_files.read_lines(folder / "events.jsonl").entries
    ]
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in old_events))
    assert reader.cursor().sent == 0
    assert deliver(project).sent == ["old"]
    (info,) = delivered(project)
    arrived_files = [f.path for f in client.list_artifacts(info.run_id)]
    assert arrived_files == ["params.yaml", "provenance.json"]


def test_damaged_lines_of_the_index_are_skipped_and_reported(project: TrackingFolders) -> None:
    for name in ("a", "b", "c"):
        leave_journal(name, project)
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
    code, output = run_command("doctor")
    assert code == 1 and output.count("needs attention: line") == 6
    assert run_command("status")[0] == 0
    leave_journal("d", project)
    assert deliver(project).sent == ["d"]
    assert [one.name for one in delivered(project)][-1] == "d", (
        "a torn line does not hide later lines"
    )
    project.index.unlink()
    project.index.mkdir()
    assert delivered(project) == []
    code, output = run_command("doctor")
    assert code == 1 and "its runs are in MLflow, so move it away" in output
    leave_journal("e", project)
    assert "runs.jsonl" in str(deliver(project).waits)


def test_incomplete_journals_of_dead_processes_are_removed_by_the_next_run(
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
    leave_journal("next", project)
    assert [path.name for path in project.journals.iterdir()] == [
        reader.id for reader in scan_journals(project.journals).whole
    ]


def test_resending_the_scores_of_a_model_does_not_duplicate_them(
    project: TrackingFolders, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Including NaN and infinity: MLflow stores a model's metrics separately from the run's."""
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
