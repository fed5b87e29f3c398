"""A delivery killed at any of its operations leaves the run and its model in MLflow once.

By default a few kill points are tried. ``DGUNET_CAMPAIGN_KILLS=1`` tries every point for a journal
without a model (about 140), and every eighth for one with a model (about 1,400), whose delivery
copies this package.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient

from dgunet import network
from dgunet.system import files
from dgunet.tracking import TrackingFolders, deliver, delivered, pending, start_run
from dgunet.tracking.journal.reading import check_artifact, scan_journals
from dgunet.tracking.server import mlflow_store
from tests.killing import killed_at, points_of

ALL = os.environ.get("DGUNET_CAMPAIGN_KILLS") == "1"

CALLS = (
    "create_experiment",
    "create_run",
    "create_logged_model",
    "finalize_logged_model",
    "get_run",
    "log_batch",
    "log_artifact",
    "log_artifacts",
    "log_inputs",
    "log_model_artifacts",
    "log_outputs",
    "search_runs",
    "set_tag",
    "set_terminated",
)
WATCHED = [(MlflowClient, name) for name in CALLS]
TAGS = {"stage": "train", "profile": "sample"}


@pytest.fixture
def again(
    project: TrackingFolders,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Callable[[], TrackingFolders]:
    """Return a function that copies a project with one journal of every kind of event.

    The parameter selects a journal with or without the model, whose delivery copies this package.
    """
    monkeypatch.setenv("DGUNET_TRACKING", "later")
    weights = tmp_path / "network.safetensors"
    tiny = network.preset("derain", n_feat=8, scale=4, stages=3)
    network.save_network(network.DGUNet(tiny), weights, {})
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "a.csv").write_text("1")
    with start_run("dgunet/x", "train", tags=TAGS, params={"stages": 3}) as run:
        run.log_metrics({"loss": 1.0, "odd": float("nan")}, step=1)
        run.log_artifact(weights)
        run.log_artifact(folder)
        run.log_dataset("Rain100H", "0" * 64, "data", "training")
        if getattr(request, "param", "model") == "model":
            run.log_network(weights, "derain")
        run.log_metrics({"loss": 0.5}, step=2)
        run.set_result(checkpoint="c0ffee")
    count = [0]

    def copy() -> TrackingFolders:
        count[0] += 1
        home = tmp_path / f"copy {count[0]}"
        shutil.copytree(project.home, home)
        return TrackingFolders(home)

    return copy


def sync(folders: TrackingFolders) -> Callable[[], None]:
    def work() -> None:
        mlflow_store.client.cache_clear()
        os.environ["DGUNET_HOME"] = str(folders.home)
        outcome = deliver(folders, persist=True)
        assert outcome.reason is None, outcome.reason

    return work


def assert_once(folders: TrackingFolders, models: int = 1) -> None:
    """Assert that MLflow has the complete run and its model once, and no leftovers exist."""
    assert pending(folders) == []
    (info,) = delivered(folders)
    client: Any = MlflowClient(folders.uri.reveal())
    (experiment,) = [e for e in client.search_experiments() if e.name == "dgunet/x"]
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_id == info.run_id and run.info.status == "FINISHED"
    assert [m.value for m in client.get_metric_history(info.run_id, "loss")] == [1.0, 0.5]
    assert len(client.get_metric_history(info.run_id, "odd")) == 1
    assert len(run.inputs.dataset_inputs) == 1
    made = client.search_logged_models([experiment.experiment_id])
    assert [model.status for model in made] == ["READY"] * models
    outputs = run.outputs.model_outputs if run.outputs else []
    assert [one.model_id for one in outputs] == [model.model_id for model in made]
    assert sorted(f.path for f in client.list_artifacts(info.run_id)) == [
        "network.safetensors",
        "provenance.json",
        "tables",
    ]
    assert not list(folders.journals.iterdir()), "including hidden files"
    assert not list(folders.artifacts.rglob(".artifact.uploading.*"))
    assert not folders.damaged.exists() and not folders.refused.exists()


@pytest.mark.parametrize(
    ("again", "models", "every"),
    [("no model", 0, 1), ("model", 1, 8)] if ALL else [("no model", 0, 40)],
    indirect=["again"],
)
@pytest.mark.timeout(3600 if ALL else 600)
def test_killing_a_delivery_at_any_operation_duplicates_nothing(
    again: Callable[[], TrackingFolders], models: int, every: int
) -> None:
    assert mlflow.__version__  # imported before the first fork
    whole = again()
    points = points_of(sync(whole), below=whole.home, watched=WATCHED)
    assert points > 60, points
    assert_once(whole, models)
    spread = range(1, points, every)
    removing = range(points - 6, points + 1, 3)  # a delivered journal is removed file by file
    for point in sorted({*spread, *removing}):
        folders = again()
        assert killed_at(sync(folders), point, below=folders.home, watched=WATCHED), point
        sync(folders)()
        assert_once(folders, models)
        shutil.rmtree(folders.home)


@pytest.mark.parametrize("call", ["create_run", "create_logged_model", "set_terminated"])
def test_a_kill_between_a_call_and_its_record_duplicates_nothing(
    again: Callable[[], TrackingFolders], call: str
) -> None:
    """Even if the cursor is lost: the run is found by the tag of the journal."""
    folders = again()

    def killed(client: Any, *arguments: Any, **named: Any) -> None:
        real(client, *arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    real = getattr(MlflowClient, call)

    def work() -> None:
        setattr(MlflowClient, call, killed)
        sync(folders)()

    assert killed_at(work, sys.maxsize, below=folders.home)
    (journal,) = (p for p in folders.journals.iterdir() if not p.name.startswith("."))
    (journal / "cursor.json").unlink(missing_ok=True)
    sync(folders)()
    assert_once(folders)


def test_a_writer_killed_at_any_operation_leaves_a_complete_journal_or_none(
    bare: TrackingFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DGUNET_TRACKING", "later")
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")

    def work() -> None:
        with start_run("dgunet/x", "n", tags=TAGS, params={"stages": 3}) as run:
            run.log_metrics({"loss": 1.0}, step=1)
            run.log_artifact(bare.home / "params.yaml")

    left: list[int] = []
    point = 1
    while killed_at(work, point, below=bare.state):
        point += 1
        found = scan_journals(bare.journals)
        assert not found.damaged and len(found.whole) <= 1
        for reader in found.whole:
            reader.close_if_dead()
            events = reader.events()
            assert events[-1]["kind"] == "end"
            for event in events:
                if event["kind"] == "artifact":
                    check_artifact(reader.folder / event["file"], event["sha256"])
            left.append(len(events))
            shutil.rmtree(reader.folder)
    assert point > 20
    assert left == sorted(left) and left[-1] == 5, "no logged event is lost"
    assert [path.name[0] != "." for path in bare.journals.iterdir()] == [True]


def test_a_store_is_completed_after_its_creation_was_killed(bare: TrackingFolders) -> None:
    assert mlflow.__version__
    (bare.home / "mlflow.db.0123abcd.partial").write_bytes(b"of an earlier version")

    def work() -> None:
        mlflow_store.ensure_store(bare)

    for point in (3, 6):
        assert killed_at(work, point, below=bare.home), point
    assert killed_at(work, 1, below=bare.home, watched=[(files, "rename")])
    mlflow_store.ensure_store(bare)
    assert sorted(path.name for path in bare.home.iterdir()) == [
        "mlflow.db",
        "mlflow.db.lock",
        "params.yaml",
    ]
