"""A run that Kubeflow Pipelines 2.17 created for a step is continued, not duplicated.

Its driver creates a child of the pipeline's run, named after the task, and sets `MLFLOW_RUN_ID` in
the step's container. Its launcher adds the step's inputs and ends the run after the step.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from dgunet.tracking import TrackingFolders, deliver, start_run
from dgunet.tracking.index import in_mlflow
from dgunet.tracking.journal.writing import JournalReader
from dgunet.tracking.run_selection import latest_finished

TAGS = {"stage": "train", "profile": "sample", "table": "1"}


@pytest.fixture
def experiment(project: TrackingFolders, client: Any) -> str:
    made = client.create_experiment("Default of Kubeflow", (project.home / "kfp").as_uri())
    return str(made)


@pytest.fixture
def inject(client: Any, experiment: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Create and inject a run as the driver does before a step; return its ID."""
    pipeline = client.create_run(experiment, run_name="reproduce").info.run_id

    def driver(task: str, run_id: str = "") -> str:
        tags = {"mlflow.parentRunId": pipeline}
        given = run_id or client.create_run(experiment, tags=tags, run_name=task).info.run_id
        monkeypatch.setenv("MLFLOW_RUN_ID", given)
        monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment)
        return str(given)

    return driver


def step(name: str, *, fails: bool = False) -> Any:
    with start_run("dgunet/table-1", name, tags=TAGS, params={"stages": 7}) as run:
        run.log_metrics({"loss": 0.5}, step=1)
        if fails:
            raise RuntimeError("no memory")
    return run


def test_an_injected_run_is_adopted(
    client: Any, experiment: str, inject: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KFP_RUN_ID", "3b1c")
    monkeypatch.setenv("DGUNET_IMAGE_DIGEST", "sha256:" + "a" * 64)
    given = inject("train")
    run = step("train derain-DGUNet")
    assert run.run_id == given
    second = step("another")
    assert second.run_id not in (None, given), "only the first run of a process adopts"
    # The launcher, after the step.
    client.log_param(given, "task", json.dumps("derain"))
    client.set_terminated(given, "FINISHED")
    adopted = client.get_run(given)
    assert (adopted.info.run_name, adopted.info.status) == ("train derain-DGUNet", "FINISHED")
    assert adopted.data.metrics == {"loss": 0.5}
    assert adopted.data.params == {"stages": "7", "task": '"derain"'}
    known = {key: adopted.data.tags.get(key) for key in ("stage", "kfp.run_id", "adopted.name")}
    assert known == {"stage": "train", "kfp.run_id": "3b1c", "adopted.name": "train"}
    assert adopted.data.tags["image.digest"] == "sha256:" + "a" * 64
    assert len(client.search_runs([experiment])) == 2, "the run of the pipeline and this one"


def test_iterations_of_a_loop_are_kept_as_separate_runs(
    project: TrackingFolders, inject: Any
) -> None:
    """Kubeflow gives all iterations of a loop the same name."""
    for name in ("stages-9", "stages-3"):
        inject("evaluate")
        step(name)
    assert [info.name for info in latest_finished(in_mlflow(project))] == ["stages-9", "stages-3"]


@pytest.mark.parametrize(("stage", "stays"), [("evaluate", False), ("prepare", True)])
def test_compared_runs_are_detached_from_the_pipeline_s_run(
    client: Any, inject: Any, stage: str, stays: bool
) -> None:
    """MLflow's chart view hides children of a collapsed run."""
    given = inject(stage)
    parent = client.get_run(given).data.tags["mlflow.parentRunId"]
    with start_run("dgunet/x", "n", tags=TAGS | {"stage": stage}, params={}):
        pass
    tags = client.get_run(given).data.tags
    assert tags["mlflow.parentRunId" if stays else "adopted.parent"] == parent
    assert ("mlflow.parentRunId" in tags) is stays


def test_a_retried_step_clears_the_earlier_failure(client: Any, inject: Any) -> None:
    given = inject("train")
    with pytest.raises(RuntimeError):
        step("train", fails=True)
    failed = client.get_run(given)
    assert (failed.info.status, failed.data.tags["error"]) == ("FAILED", "RuntimeError: no memory")
    inject("train", given)
    with start_run("dgunet/table-1", "train", tags=TAGS, params={"stages": 7}) as run:
        run.flush()
        assert client.get_run(given).info.status == "RUNNING"
    mended = client.get_run(given)
    assert (mended.info.status, "error" in mended.data.tags) == ("FINISHED", False)


@pytest.mark.parametrize("gone", ["deleted", "unknown", "nonsense"])
def test_a_missing_injected_run_is_replaced_by_a_new_one(
    client: Any, inject: Any, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    given = inject("train", {"unknown": "0" * 32, "nonsense": "../x"}.get(gone, ""))
    if gone == "deleted":
        client.delete_run(given)
    run = step("train derain")
    made = client.get_run(run.run_id)
    assert run.run_id != given and made.info.status == "FINISHED"
    assert made.data.tags["adopted.missing"] == given
    assert client.get_experiment(made.info.experiment_id).name == "dgunet/table-1"


def test_an_undeliverable_run_does_not_delay_the_others(
    project: TrackingFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DGUNET_TRACKING", "later")
    with start_run("dgunet/x", "spoilt", tags=TAGS, params={}) as run:
        pass
    header = JournalReader(project.journals / run.journal_id).folder / "header.json"
    content = json.loads(header.read_text())
    header.write_text(json.dumps(content | {"experiment": ""}))
    step("sound")
    outcome = deliver(project)
    assert outcome.sent == ["sound"]
    assert outcome.reason is not None and outcome.reason.startswith("run 'spoilt': ")


def test_a_run_is_continued_by_passing_its_id(client: Any, inject: Any) -> None:
    first = step("train derain-DGUNet")
    assert first.run_id
    with start_run(
        "dgunet/table-1", "train derain-DGUNet", tags=TAGS, params={}, adopt=first.run_id
    ) as run:
        run.log_metrics({"loss": 0.25}, step=2)
    assert run.run_id == first.run_id
    given = inject("train")
    with start_run("dgunet/table-1", "other", tags=TAGS, params={}, adopt=first.run_id) as run:
        pass
    assert run.run_id == given, "the run of Kubeflow takes precedence"


def test_the_mode_can_be_passed_as_an_argument(project: TrackingFolders) -> None:
    with start_run("dgunet/table-1", "n", tags=TAGS, params={}, mode="off") as run:
        assert run.journal_id == ""
    with start_run("dgunet/table-1", "n", tags=TAGS, params={}, mode="later") as run:
        assert run.journal_id
    assert run.run_id is None
