"""MLflow has comparable runs, tables, datasets and models after the chain."""

import mlflow
import numpy as np
import pytest
from mlflow.tracking import MlflowClient

from dgunet.terms import ABLATIONS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    pytest.mark.xdist_group("reproduce"),
]


@pytest.fixture(scope="module")
def client(reproduced):
    uri = f"sqlite:///{reproduced.home / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    yield MlflowClient(uri)
    mlflow.set_tracking_uri(None)  # any other value would stay before that of the environment


@pytest.fixture(scope="module")
def runs(client):
    experiments = {e.experiment_id: e.name for e in client.search_experiments()}
    found = client.search_runs(list(experiments), max_results=1000)
    return [(experiments[run.info.experiment_id], run) for run in found]


def of_stage(runs, stage):
    return [run for _, run in runs if run.data.tags["stage"] == stage]


def test_every_stage_has_its_runs_and_all_are_finished(runs):
    counts = {
        stage: len(of_stage(runs, stage)) for stage in ("prepare", "train", "evaluate", "tables")
    }
    assert counts == {"prepare": 16, "train": 8 + 9, "evaluate": 20 + 9, "tables": 1}
    assert {run.info.status for _, run in runs} == {"FINISHED"}


def test_there_is_an_experiment_per_table_and_one_of_the_ablations(runs):
    names = {name for name, _ in runs}
    for number in range(1, 5):
        assert any(f"table-{number}-" in name for name in names)
    tables = {
        run.data.tags["row"]: run.data.tags["table"]
        for name, run in runs
        if name == "dgunet/ablations" and run.data.tags["stage"] == "evaluate"
    }
    assert len(tables) == 9
    assert tables["stages-7"] == "5 6", "the baseline of both tables"
    assert (tables["scales-1"], tables["without-sp"]) == ("5", "6")


def test_runs_are_top_level_and_have_their_provenance(runs, reproduced):
    commit = reproduced.run("git", "rev-parse", "HEAD").strip()
    for _, run in runs:
        tags = run.data.tags
        assert "mlflow.parentRunId" not in tags
        assert tags["git.commit"] == commit
        assert tags["profile"] == "sample"
        assert tags["campaign"]
        assert len(tags["data.digest"]) == 64


def test_ablations_have_comparable_metrics_and_parameters(runs):
    for stage, metrics in (("train", {"loss", "loss_last"}), ("evaluate", {"psnr", "ssim"})):
        ablations = [r for r in of_stage(runs, stage) if r.data.tags.get("row") in ABLATIONS]
        assert len(ablations) == len(ABLATIONS)
        assert metrics <= set.intersection(*({*run.data.metrics} for run in ablations))
    settings = {(int(r.data.params["stages"]), int(r.data.params["scales"])) for r in ablations}
    assert {(9, 3), (7, 3), (5, 3), (3, 3), (7, 2), (7, 1)} <= settings


def test_losses_are_logged_step_by_step(client, runs):
    run = next(r for r in of_stage(runs, "train") if r.data.tags["task"] == "derain")
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [point.step for point in history] == list(range(len(history)))
    assert len(history) == int(run.data.params["train.iterations"])


def test_datasets_are_inputs_with_their_digest(runs):
    for stage, context in (("train", "training"), ("evaluate", "evaluation")):
        for run in of_stage(runs, stage):
            (entry,) = run.inputs.dataset_inputs
            assert "sample" in entry.dataset.name
            tags = {tag.key: tag.value for tag in entry.tags}
            assert tags == {"mlflow.data.context": context, "digest": run.data.tags["data.digest"]}
            assert (entry.dataset.source_type, entry.dataset.digest[32:]) == ("dvc", ".dir")


def test_metrics_are_linked_to_the_models(client, runs):
    trained = {}
    for run in of_stage(runs, "train"):
        (output,) = run.outputs.model_outputs
        trained[output.model_id] = run
    for run in of_stage(runs, "evaluate"):
        # search_runs omits the models from the inputs.
        (entry,) = client.get_run(run.info.run_id).inputs.model_inputs
        assert trained[entry.model_id].data.tags["task"] == run.data.tags["task"]
    scored = client.get_logged_model(entry.model_id)
    ours = [metric for metric in scored.metrics if metric.run_id == run.info.run_id]
    assert "seconds_restoring" in {metric.key for metric in ours}
    assert {metric.dataset_digest for metric in ours} == {
        run.inputs.dataset_inputs[0].dataset.digest
    }


def test_the_tables_are_logged_as_tables(client, runs):
    (run,) = of_stage(runs, "tables")
    for number in range(1, 7):
        table = client.load_table(
            run.info.experiment_id, f"tables/table{number}.json", run_ids=[run.info.run_id]
        )
        assert set(table["profile"]) == {"sample"}
    kept = {entry.path for entry in client.list_artifacts(run.info.run_id, "files")}
    assert {"files/table1.tex", "files/cells.parquet"} <= kept
    figures = [entry.path for entry in client.list_artifacts(run.info.run_id, "figures")]
    assert figures == [f"figures/table{number}.png" for number in range(1, 7)]


def test_the_tables_run_describes_every_table(runs):
    (run,) = of_stage(runs, "tables")
    note = run.data.tags["mlflow.note.content"]
    assert len(note) < 8000 and "SAMPLE PROFILE" in note
    assert [f"**Table {number}:" in note for number in range(1, 7)] == [True] * 6
    assert "| GoPro, DGUNet | 32.71/0.960 |" in note


def test_the_logged_model_accepts_another_image_size(client, runs):
    run = next(r for r in of_stage(runs, "train") if r.data.tags["task"] == "derain")
    (model,) = run.outputs.model_outputs
    loaded = mlflow.pyfunc.load_model(f"models:/{model.model_id}")
    shape = loaded.metadata.signature.inputs.inputs[0].shape
    assert tuple(shape) == (-1, 3, -1, -1)
    image = np.random.default_rng(0).random((1, 3, 40, 72), dtype=np.float32)
    assert loaded.predict(image).shape == image.shape
