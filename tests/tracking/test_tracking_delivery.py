"""Delivery of journals to a real sqlite store, in a folder with a space in its name."""

from __future__ import annotations

import json
import math
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from dgunet.tracking import TrackingFolders, deliver, delivered, lookup, pending, start_run
from dgunet.tracking.journal.writing import JournalReader

TAGS = {"stage": "evaluate", "profile": "sample"}
DIGEST = "0123456789abcdef" * 4


def log_everything(folders: TrackingFolders) -> Any:
    with start_run("dgunet/table-1", "evaluate", tags=TAGS, params={"stages": 7}) as run:
        for step in range(5):
            run.log_metrics({"loss": 1 / (step + 1)}, step=step)
        run.log_params({f"setting.{i}": i for i in range(120)})
        run.log_metrics({"psnr": math.inf, "ssim": math.nan})
        run.log_table(pd.DataFrame({"image": ["a", "b"], "psnr": [30.5, None]}), "per/image.json")
        run.log_table(pd.DataFrame({"x": [1]}), "other.json")
        run.log_image(np.full((4, 6, 1), 0.5), "strips/grey", step=3)
        run.log_artifact(folders.home / "params.yaml", "inputs")
        run.log_dataset("Rain100H (sample)", DIGEST, "build/prepared/Rain100H", "evaluation")
        run.set_tags({"parity": "false"})
        run.set_result(per_image=DIGEST)
    return run


def stored_facts(client: Any, run_id: str) -> dict[str, Any]:
    """Return everything of a run that a second delivery could duplicate."""
    run = client.get_run(run_id)
    return {
        "losses": [(m.step, m.value) for m in client.get_metric_history(run_id, "loss")],
        "metrics": {k: v for k, v in run.data.metrics.items() if k != "ssim"},
        "params": run.data.params,
        "tags": run.data.tags,
        "inputs": [(d.dataset.name, d.dataset.digest) for d in run.inputs.dataset_inputs],
        "outputs": [m.model_id for m in run.outputs.model_outputs] if run.outputs else [],
        "status": run.info.status,
        "files": sorted(f.path for f in client.list_artifacts(run_id)),
    }


def test_all_logged_data_reach_mlflow(project: TrackingFolders, client: Any) -> None:
    run = log_everything(project)
    assert run.run_id is not None
    arrived = stored_facts(client, run.run_id)
    assert arrived["losses"] == [(i, 1 / (i + 1)) for i in range(5)]
    assert arrived["params"]["stages"] == "7" and len(arrived["params"]) == 121
    assert arrived["metrics"]["psnr"] > 1e300
    assert math.isnan(client.get_run(run.run_id).data.metrics["ssim"])
    assert arrived["tags"]["dgunet.journal"] == run.journal_id
    assert arrived["tags"]["parity"] == "false"
    assert "dgunet.process" not in arrived["tags"], "only a running run needs it"
    assert arrived["inputs"] == [("Rain100H (sample)", DIGEST[:36])]
    assert arrived["status"] == "FINISHED"
    assert arrived["files"] == ["images", "inputs", "other.json", "per", "provenance.json"]
    folder = project.artifacts / "dgunet-table-1" / run.run_id / "artifacts"
    assert (folder / "inputs/params.yaml").read_text() == "profile: sample\n"
    assert not list(project.journals.iterdir()), "a delivered journal is removed"


def test_mlflow_loads_the_logged_tables(
    project: TrackingFolders, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = log_everything(project)
    announced = json.loads(client.get_run(run.run_id).data.tags["mlflow.loggedArtifacts"])
    assert [entry["path"] for entry in announced] == ["per/image.json", "other.json"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(project.uri))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "dgunet/table-1")
    table = mlflow.load_table("per/image.json", run_ids=[run.run_id])
    assert table["image"].tolist() == ["a", "b"]
    assert table["psnr"].iloc[0] == 30.5 and math.isnan(table["psnr"].iloc[1])


@pytest.mark.parametrize("received", ["nothing", "the run", "half"])
def test_a_lost_response_duplicates_nothing(
    project: TrackingFolders, client: Any, monkeypatch: pytest.MonkeyPatch, received: str
) -> None:
    """MLflow has everything, but the process died before it recorded that."""
    monkeypatch.setenv("DGUNET_TRACKING", "later")
    run = log_everything(project)
    journal = project.journals / run.journal_id
    copy = project.home / "copy"
    shutil.copytree(journal, copy)
    assert deliver(project).sent == ["evaluate"]
    first = run.run_id
    before = stored_facts(client, first)
    copy.rename(journal)
    reader = JournalReader(journal)
    cursor = reader.cursor()
    cursor.attempted = True
    if received != "nothing":
        cursor.run_id, cursor.experiment_id = first, client.get_run(first).info.experiment_id
    if received == "half":
        cursor.sent = len(reader.events()) // 2
    reader.save(cursor)
    assert deliver(project).sent == ["evaluate"]
    assert stored_facts(client, first) == before
    assert len(client.search_runs([client.get_run(first).info.experiment_id])) == 1
    assert [info.run_id for info in delivered(project)] == [first]


def test_lookup_uses_the_index_and_then_mlflow(project: TrackingFolders) -> None:
    run = log_everything(project)
    found = lookup(DIGEST)
    assert found is not None and found.run_id == run.run_id
    shutil.rmtree(project.state)
    again = lookup(DIGEST)
    assert again is not None and again.metrics.keys() == found.metrics.keys()
    # MLflow stores infinity as the largest float, and NaN is not equal to itself.
    assert replace(again, metrics={}) == replace(found, metrics={})


def test_refused_events_are_kept_separately_and_the_rest_is_delivered(
    project: TrackingFolders, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = client.create_experiment("kfp", (project.home / "kfp").as_uri())
    injected = client.create_run(experiment).info.run_id
    client.log_param(injected, "stages", "5")
    monkeypatch.setenv("MLFLOW_RUN_ID", injected)
    run = log_everything(project)
    assert client.get_run(injected).data.params["stages"] == "5"
    assert client.get_run(injected).data.params["setting.7"] == "7"
    assert client.get_run(injected).info.status == "FINISHED"
    (refusal,) = (project.refused / run.journal_id).glob("refused-*.json")
    assert json.loads(refusal.read_text())["values"] == {"stages": "7"}
    assert pending(project) == []


def test_a_deleted_experiment_delays_only_its_own_runs(
    project: TrackingFolders, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = client.create_experiment("dgunet/gone", (project.home / "gone").as_uri())
    client.delete_experiment(gone)
    monkeypatch.setenv("DGUNET_TRACKING", "later")
    for name in ("gone", "here"):
        with start_run(f"dgunet/{name}", name, tags=TAGS, params={}):
            pass
    outcome = deliver(project)
    assert outcome.sent == ["here"]
    assert outcome.reason is not None and "mlflow experiments restore" in outcome.reason
    client.restore_experiment(gone)
    assert deliver(project, persist=True).sent == ["gone"]


def test_short_dvc_stages_share_a_delivery(
    project: TrackingFolders, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DVC_STAGE", "prepare@Set11")

    def stage(name: str, **options: Any) -> list[str]:
        with start_run("dgunet/data", name, tags=TAGS, params={}, **options):
            pass
        return [info.name for info in delivered(project)]

    assert stage("1") == ["1"]
    assert stage("2") == ["1"]
    assert "dgunet tracking sync" in capsys.readouterr().err
    assert [info.name for info in pending(project)] == ["2"]
    with (
        pytest.raises(RuntimeError),
        start_run("dgunet/data", "3", tags=TAGS, params={}),
    ):
        raise RuntimeError("a failure is delivered at once, with everything that waits")
    assert [info.status for info in delivered(project)] == ["FINISHED", "FINISHED", "FAILED"]
    assert stage("4") == ["1", "2", "3"]
    assert stage("5", closing=True) == ["1", "2", "3", "4", "5"]


def test_a_flushed_run_is_visible_while_it_is_running(
    project: TrackingFolders, client: Any
) -> None:
    with start_run("dgunet/x", "long", tags=TAGS, params={}) as run:
        run.log_metrics({"loss": 2.0}, step=0)
        assert run.run_id is None
        run.flush()
        assert run.run_id is not None
        assert client.get_run(run.run_id).info.status == "RUNNING"
        assert client.get_run(run.run_id).data.metrics == {"loss": 2.0}
        deliver(project)
        assert client.get_run(run.run_id).info.status == "RUNNING", "its process is running"
        run.log_metrics({"loss": 1.0}, step=1)
    history = client.get_metric_history(run.run_id, "loss")
    assert [m.value for m in history] == [2.0, 1.0]
    assert client.get_run(run.run_id).info.status == "FINISHED"


def test_a_folder_is_delivered_with_its_subfolders(
    project: TrackingFolders, client: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "tables"
    (folder / "tex").mkdir(parents=True)
    (folder / "a.csv").write_text("1")
    (folder / "tex/a.tex").write_text("2")
    with start_run("dgunet/x", "n", tags=TAGS, params={}) as run:
        run.log_artifact(folder)
    assert [f.path for f in client.list_artifacts(run.run_id, "tables")] == [
        "tables/a.csv",
        "tables/tex",
    ]


def test_sync_follow_delivers_new_runs_and_finishes_on_sigterm(
    project: TrackingFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DGUNET_TRACKING", "later")
    command = [Path(sys.executable).with_name("dgunet"), "tracking", "sync", "--follow"]
    follower = subprocess.Popen(command, cwd=project.home, stdout=subprocess.PIPE, text=True)
    try:
        with start_run("dgunet/data", "first", tags=TAGS, params={}):
            pass
        until = time.monotonic() + 60
        while not delivered(project) and time.monotonic() < until:
            time.sleep(0.2)
        assert [info.name for info in delivered(project)] == ["first"]
        with start_run("dgunet/data", "last", tags=TAGS, params={}):
            pass
        follower.send_signal(signal.SIGTERM)
        output, _ = follower.communicate(timeout=60)
    finally:
        follower.kill()
    assert follower.returncode == 0
    assert output.startswith("sent 2 runs")
    assert [info.name for info in delivered(project)] == ["first", "last"]
