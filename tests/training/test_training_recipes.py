"""Recipes are what the paper prints and the code does; their costs are computed."""

import json
import os
from pathlib import Path

import pytest
import torch
from torch import nn
from training_small import ROOT, Noise

from dgunet.config import TrainParams, load_params
from dgunet.network.describe import describe
from dgunet.training import MixUp
from dgunet.training.loss import LOSSES
from dgunet.training.recipes import paper, released
from dgunet.training.schedule import warmup_cosine

RGB = ("derain", "deblur", "denoise")
NAMES = {"derain": "deraining", "deblur": "deblurring", "denoise": "denoising"}


def recipes():
    for make in (paper, released):
        yield from (make(task) for task in RGB)
        yield make("cs", ratio=10)


def test_the_paper_profile_is_the_paper_recipe():
    params = load_params(ROOT / "params.yaml").paper
    for task, knobs in params.train.items():
        recipe = paper(task, ratio=10 if task == "cs" else None)
        assert TrainParams(**recipe.knobs()) == knobs


@pytest.mark.parametrize("recipe", list(recipes()), ids=lambda r: f"{r.name}-{r.network.task}")
def test_knobs_are_what_params_yaml_takes_and_make_the_same_training(recipe):
    knobs = TrainParams(**recipe.knobs())
    for key, value in knobs.model_dump(
        exclude={"batch", "patch", "augment", "mixup_after", "validation"}
    ).items():
        assert getattr(recipe.training, key) == value
    assert (knobs.batch, knobs.patch) == (recipe.batch, recipe.patch)
    assert knobs.mixup_after == recipe.mixup_after


@pytest.mark.parametrize(
    ("task", "iterations", "epoch"),
    [("derain", 214_250, 857), ("deblur", 396_000, 132), ("denoise", 480_000, 6_000)],
)
def test_the_released_runs_lengths(task, iterations, epoch):
    recipe = released(task)
    assert recipe.training.iterations == iterations
    assert recipe.steps_per_epoch == epoch


def test_costs_follow_from_the_network():
    recipe = released("derain", "DGUNet+")
    one = describe(recipe.network, (256, 256)).flops
    assert recipe.flops == 3 * 16 * 214_250 * one
    assert recipe.hours(recipe.flops / 7200) == pytest.approx(2)
    assert "250.0 epochs of 13,712" in recipe.header()


@pytest.mark.parametrize("task", RGB)
def test_rates_by_epoch_are_the_released_codes(task):
    """The golden rates come from a scheduler that leaves its formula by the amount they state."""
    folder = Path(os.environ.get("DGUNET_BENCHMARKS") or "/nowhere").parent / "reference" / "golden"
    if not folder.is_dir():
        pytest.skip("needs DGUNET_BENCHMARKS with ../reference/golden beside it")
    golden = json.loads((folder / "lr_schedules.json").read_text())[NAMES[task]]
    config = released(task).training
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=config.learning_rate)
    schedule = warmup_cosine(
        optimizer,
        warmup=config.warmup,
        period=config.rate_period,
        minimum=config.learning_rate_min,
    )
    allowed = golden["max_abs_dev_from_closed_form"] * 1.001
    compared = 0
    for epoch in range(1, golden["epochs"] + 1):
        if (expected := golden["lr_by_epoch"].get(str(epoch))) is not None:
            rate = optimizer.param_groups[0]["lr"]
            assert rate == pytest.approx(expected, rel=0, abs=allowed), epoch
            compared += 1
        optimizer.step()
        schedule.step()
    assert compared == len(golden["lr_by_epoch"])


def test_mixup_blends_input_and_target_alike_from_its_step_on():
    plain = Noise(batch=6)
    mixed = MixUp(plain, after=2, seed=1)
    assert torch.equal(mixed.part(1, range(6))[0], plain.part(1, range(6))[0])
    degraded, target = mixed.part(2, range(6))
    assert torch.equal(degraded, target)
    assert not torch.equal(degraded, plain.part(2, range(6))[0])
    assert float(degraded.mean()) == pytest.approx(0.5, abs=0.05)


def test_a_share_of_a_mixed_batch_is_part_of_the_whole():
    mixed = MixUp(Noise(batch=6), after=0, seed=1)
    whole, _ = mixed.part(3, range(6))
    share, _ = mixed.part(3, [4, 5])
    assert torch.equal(share, whole[4:])


def test_params_yaml_takes_every_loss():
    assert set(TrainParams.model_json_schema()["properties"]["loss"]["enum"]) == set(LOSSES)
