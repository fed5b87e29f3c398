"""The curves of trainings for the report: from MLflow, and from the files beside the weights."""

from __future__ import annotations

import math

import pytest

from dgunet.project import ProjectFolders
from dgunet.steps import training_curves as module
from dgunet.steps.training_curves import comparable_runs, training_curves
from dgunet.system.files import sha256_file
from dgunet.terms import RunTags
from dgunet.tracking import TrackingFolders, deliver, delivered, start_run
from dgunet.tracking.run_frames import history
from dgunet.tracking.server import mlflow_store


def train(
    home: TrackingFolders,
    name: str,
    seed: int,
    losses: list[float],
    *,
    profile: str = "sample",
    batch: int = 1,
) -> None:
    """Record a training as the training step does."""
    tags = RunTags("train", profile).to_dict() | {"data.digest": "d"}
    params = {"seed": seed, "train.batch": batch}
    with start_run("dgunet/x", f"train {name}", tags=tags, params=params, home=home.home) as run:
        for step, loss in enumerate(losses):
            run.log_metrics({"loss": loss}, step=step)
        run.log_metrics({"validation_psnr": 20.0 + seed}, step=len(losses) - 1)


@pytest.mark.usefixtures("deliver_later")
def test_the_last_training_of_each_seed_is_read_from_mlflow(project: TrackingFolders) -> None:
    train(project, "derain-DGUNet", 1, [5.0, 4.0], batch=2)  # other settings
    train(project, "derain-DGUNet", 2, [3.0, 2.0])
    train(project, "derain-DGUNet", 1, [9.0, 9.0])  # trained again below
    train(project, "derain-DGUNet", 1, [1.0, 0.5])
    train(project, "stages-9", 1, [0.75, math.nan])
    train(project, "derain-DGUNet", 1, [7.0], profile="paper")
    waiting = training_curves("sample", project.home)
    assert not waiting.curves and waiting.remark.startswith("3 trainings are not in MLflow yet")
    deliver(project)
    found = training_curves("sample", project.home)
    assert found.remark == ""
    assert [(c.network, c.training, dict(c.loss)) for c in found.curves[:2]] == [
        ("derain-DGUNet", "seed 1", {0: 1.0, 1: 0.5}),
        ("derain-DGUNet", "seed 2", {0: 3.0, 1: 2.0}),
    ]
    assert found.curves[1].validation == {1: 22.0}
    assert found.curves[2].network == "ablation-stages-9"
    assert {curve.source for curve in found.curves} == {"MLflow"}


def test_the_curve_beside_weights_is_shown_if_these_were_evaluated(bare: TrackingFolders) -> None:
    here = ProjectFolders(bare.home)
    for name in ("derain-DGUNet", "deblur-DGUNet"):
        here.model(name).mkdir(parents=True)
        (here.model(name) / "network.safetensors").write_bytes(name.encode())
        (here.model(name) / "loss.csv").write_text("step,loss,learning_rate\n0,0.5,1\n1,0.25,1\n")
    (here.model("derain-DGUNet") / "validation.csv").write_text("steps,psnr\n2,21.5\n")
    evaluated = sha256_file(here.model("derain-DGUNet") / "network.safetensors")
    (curve,) = training_curves("sample", bare.home, here, [evaluated]).curves
    assert (curve.network, curve.loss) == ("derain-DGUNet", {0: 0.5, 1: 0.25})
    assert curve.validation == {1: 21.5}, "the last of two steps"
    (here.model("derain-DGUNet") / "loss.csv").write_text("step,loss\n0,many\n")
    empty = training_curves("sample", bare.home, here, [evaluated])
    assert empty.remark == "No finished training of the profile sample is known here."


@pytest.mark.usefixtures("deliver_later")
def test_a_store_that_is_gone_is_said_and_stops_nothing(
    project: TrackingFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(project, "derain-DGUNet", 1, [1.0])
    deliver(project)
    assert len(comparable_runs(delivered(project), "sample")) == 1
    monkeypatch.setattr(module, "history", refuse)
    assert "cannot be read" in training_curves("sample", project.home).remark
    monkeypatch.setattr(module, "history", history)
    mlflow_store.BackOff(project).start("no route")
    assert "MLflow was not asked: no route" in training_curves("sample", project.home).remark
    mlflow_store.BackOff(project).clear()
    (project.home / "mlflow.db").unlink()
    assert "does not exist" in training_curves("sample", project.home).remark


def refuse(*_: object) -> None:
    raise OSError("the disk is gone")
