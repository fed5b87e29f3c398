"""A training records how its weights were selected, and reports its progress."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from trainer_status_server import status_server

from dgunet.config import load_params
from dgunet.data.store.pair_store import PairStore
from dgunet.network import load_network
from dgunet.steps.train import train_network
from dgunet.system.errors import CheckpointError, ConfigError, DataError
from dgunet.tracking.reports import example_images, progress


@pytest.fixture
def project(small, monkeypatch):
    """A small project to train in, in this process."""
    for name, value in {"DGUNET_HOME": str(small.home), "DGUNET_TRACKING": "later"}.items():
        monkeypatch.setenv(name, value)
    return small


def trained(project, out="out", more="", steps=4, **options):
    """Train with the settings ``more``; return (weights, training.json, metadata)."""
    path = project.write_params(steps=steps, checkpoint_seconds=3600)
    path.write_text(path.read_text().replace("warmup: 3}", f"warmup: 2{more}}}"))
    folder = project.home / out
    weights = train_network(
        load_params(path), "derain", store=project.home / "store", out=folder, **options
    )
    return weights, json.loads((folder / "training.json").read_text()), load_network(weights)[1]


def test_without_validation_the_last_weights_are_selected(project):
    weights, content, metadata = trained(project)
    assert (content["selection"], content["selection_step"]) == ("last", 4)
    assert (metadata["selection"], metadata["selection.step"]) == ("last", "4")
    assert not (weights.parent / "validation.csv").exists()


def test_selection_on_held_out_images_is_recorded(project):
    weights, content, metadata = trained(
        project, more=", validation: {fraction: 0.2, interval: 2, crop: 32}"
    )
    curve = pd.read_csv(weights.parent / "validation.csv")
    assert curve["steps"].tolist() == [2, 4]
    best = curve.loc[curve["psnr"].idxmax()]
    assert content["selection"] == metadata["selection"] == "held-out"
    assert content["selection_step"] == best["steps"]
    assert content["validation_psnr"] == pytest.approx(best["psnr"])
    assert metadata["selection.digest"] == metadata["train.data_digest"]
    assert "selection.set" not in metadata


def test_a_selection_on_a_test_set_is_recorded_in_the_weights(project):
    original = PairStore.open(project.home / "store").folder.resolve()
    shutil.copytree(original, project.home / "Rain100L")
    _, content, metadata = trained(
        project, more=", validation: {test_set: Rain100L, interval: 2, crop: 16}"
    )
    assert content["selection"] == metadata["selection"] == "test-set"
    assert metadata["selection.set"] == "Rain100L"


def test_a_missing_test_set_is_refused(project):
    with pytest.raises(DataError, match="Rain100L is not a prepared store"):
        trained(project, more=", validation: {test_set: Rain100L, interval: 2}")


@pytest.mark.parametrize("keys", ["interval: 2", "interval: 2, fraction: 0.1, test_set: Set11"])
def test_exactly_one_source_of_validation_images_is_required(project, keys):
    with pytest.raises(ConfigError, match="either a fraction above 0 or a test_set"):
        trained(project, more=f", validation: {{{keys}}}")


def test_training_starts_from_the_given_weights(project):
    first, *_ = trained(project)
    still, _, metadata = trained(project, "still", steps=3, start=first, more="")
    begun, fresh = load_network(first)[0], load_network(still)[0]
    assert metadata["train.start"]
    moved = max(
        float((a - b).detach().abs().max())
        for a, b in zip(begun.parameters(), fresh.parameters(), strict=True)
    )
    assert moved < 3 * 3.0e-3 * 1.5, "three of Adam's steps at most"


def test_weights_of_another_structure_are_refused(project):
    first, *_ = trained(project)
    path = project.home / "params.yaml"
    path.write_text(path.read_text().replace("n_feat: 8", "n_feat: 12"))
    with pytest.raises(CheckpointError, match="n_feat 8, not 12"):
        train_network(
            load_params(path),
            "derain",
            store=project.home / "store",
            out=project.home / "other",
            start=first,
        )


def test_skipped_steps_and_their_samples_are_recorded(project, monkeypatch, caplog):
    from dgunet.data.batches.training_batches import TrainingBatches

    part = TrainingBatches.part

    def poisoned(self, step, positions):
        degraded, clean = part(self, step, positions)
        return (degraded * float("nan") if step == 2 else degraded), clean

    monkeypatch.setattr(TrainingBatches, "part", poisoned)
    weights, content, _ = trained(project, more=", skip_budget: 1")
    (kept,) = json.loads((weights.parent / "skipped.json").read_text())
    assert content["skipped_steps"] == 1
    assert kept["step"] == 2
    assert len(kept["samples"]) == 2
    assert "step 2 is skipped" in caplog.text
    assert all(torch.isfinite(p).all() for p in load_network(weights)[0].parameters())


def events_of(project, kind):
    (journal,) = (project.home / ".dgunet").rglob("events.jsonl")
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    return [event for event in events if event["kind"] == kind]


def grid_steps(project):
    """The steps of the images in MLflow's grid, by key; each has a small copy beside it."""
    files = [
        event["file"] for event in events_of(project, "artifact") if event["folder"] == "images"
    ]
    names = [file.rpartition("/")[2].split("+") for file in files]
    steps = {}
    for key, step, number, *rest in names:
        assert step == "step" and rest[0] == "timestamp"
        steps.setdefault(key, []).append(int(number))
    return {key: both[::2] for key, both in steps.items() if both[::2] == both[1::2]}


@pytest.fixture
def shown_often(monkeypatch):
    """Allow reports of example images at every step."""
    monkeypatch.setattr(example_images, "STEPS_BETWEEN_IMAGES", 1)


def test_a_short_training_shows_its_first_and_last_weights(project):
    trained(project, steps=16)
    assert grid_steps(project) == {"examples~1": [0, 16], "examples~2": [0, 16]}


@pytest.mark.usefixtures("shown_often")
def test_example_images_and_numbers_reach_the_run(project):
    trained(project, steps=16)
    shown = [0, 2, 4, 6, 8, 10, 12, 14, 16]
    assert grid_steps(project) == {"examples~1": shown, "examples~2": shown}
    points = [event["values"] for event in events_of(project, "metrics")]
    for name in ("loss", "gradient_norm", "images_per_second", "loss_stage_7"):
        assert sum(name in values for values in points) == 16
    assert sum("memory_gib" in values for values in points) == 1
    assert not any("learning_rate" in values for values in points), "the same in every run"
    assert next(iter(points[0])) == "loss"


@pytest.mark.usefixtures("shown_often")
def test_validation_images_are_shown_at_validations(project):
    trained(project, steps=6, more=", validation: {fraction: 0.2, interval: 3, crop: 32}")
    assert set(map(tuple, grid_steps(project).values())) == {(0, 3, 6)}


def test_parameters_are_those_that_a_person_reads(project):
    trained(project)
    params = {}
    for event in events_of(project, "params"):
        params |= event["values"]
    assert {"stages", "scales", "parameters", "seed", "train.iterations", "train.patch"} < set(
        params
    )
    assert len(params) <= 16 and not {"network.stages", "network.task", "train.clip"} & set(params)
    tags = [key for event in events_of(project, "tags") for key in event["values"]]
    assert not set(tags) & (set(params) | {"train.data.digest", "checkpoint.sha256"})
    (network,) = events_of(project, "network")
    assert network["params"] == params, "the Models tab shows them"
    (settings,) = (project.home / ".dgunet").rglob("settings.json")
    whole = json.loads(settings.read_text())
    assert whole["train"]["clip"] == 0 and whole["network"]["stages"] == int(params["stages"])


def test_without_a_terminal_progress_is_one_json_object_per_line(monkeypatch, capsys):
    monkeypatch.setattr(progress, "LINE_SECONDS", -1.0)
    with progress.counting("derain-DGUNet", "step") as progress_of:
        progress_of(1, 4, facts={"loss": 0.123456789, "lr": 1e-4})
        progress_of(2, 4, facts={"loss": float("nan"), "lr": 1e-4})
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert {"work", "step", "of", "loss", "lr", "steps_per_s", "eta_s"} == set(first)
    assert (first["step"], first["of"], first["loss"]) == (1, 4, 0.12346)
    assert second["loss"] == "nan"
    assert np.isfinite(second["eta_s"])


def test_a_training_in_a_trainjob_posts_its_progress(project, monkeypatch):
    with status_server(project.home) as server:
        for name, value in server.variables.items():
            monkeypatch.setenv(name, value)
        trained(project, more=", validation: {fraction: 0.2, interval: 2}")
    last = server.accepted[-1]
    assert (last["progressPercentage"], last["estimatedRemainingSeconds"]) == (100, 0)
    metrics = {each["name"]: float(each["value"]) for each in last["metrics"]}
    assert set(metrics) == {"loss", "lr", "validation_psnr"}
    psnr = pd.read_csv(project.home / "out" / "validation.csv")["psnr"].iloc[-1]
    assert metrics["validation_psnr"] == pytest.approx(psnr, rel=1e-5), "that of the last step"
