"""Recipes match the paper and the released code."""

import json
import math
import os
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn
from training_small import ROOT, Noise
from typer.testing import CliRunner

from dgunet.cli import command
from dgunet.cli.training_commands import recipe_header
from dgunet.config import TrainingSettings, load_params
from dgunet.costs.machines import named_machines
from dgunet.recipes.schedules import line, rates, recipes
from dgunet.recipes.trainings import paper, released
from dgunet.system.errors import ConfigError
from dgunet.training import MixUp
from dgunet.training.loss import _TERMS, LOSSES
from dgunet.training.schedule import rate_schedule, warmup_cosine

RGB = ("derain", "deblur", "denoise")
NAMES = {"derain": "deraining", "deblur": "deblurring", "denoise": "denoising"}


RECIPES = {f"{r.name}-{r.network.task}-{r.step}": r for r in recipes()}


def test_the_paper_profile_equals_the_paper_recipe():
    params = load_params(ROOT / "params.yaml").paper
    for task, settings in params.train.items():
        recipe = paper(task, ratio=10 if task == "cs" else None)
        assert recipe.training == settings


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_the_params_yaml_entry_of_a_recipe_gives_the_same_training(recipe):
    written = yaml.safe_load(yaml.safe_dump(recipe.params_entry()))
    assert TrainingSettings(**written) == recipe.training
    assert recipe.training.validation is not None
    assert not any(
        value == TrainingSettings.model_fields[key].default for key, value in written.items()
    )


@pytest.mark.parametrize(
    ("task", "iterations", "epoch"),
    [("derain", 214_250, 857), ("deblur", 396_000, 132), ("denoise", 480_000, 6_000)],
)
def test_lengths_of_the_released_trainings(task, iterations, epoch):
    recipe = released(task)
    assert recipe.training.iterations == iterations
    assert recipe.steps_per_epoch == epoch


def test_a_header_has_the_length_and_the_published_psnr():
    header = recipe_header(released("derain", "DGUNet+"), named_machines())
    assert "250.0 epochs of 13,711" in header
    assert "Rain100L 38.25 dB" in header
    output = recipe_header(released("cs", ratio=10), named_machines())
    assert "Set11 31.07 dB, BSD68 28.26 dB" in output
    assert "Average" not in output
    assert "the best on Set11" in output


def test_the_second_cs_step_halves_the_rate_after_60_epochs():
    recipe = released("cs", ratio=10, step=2)
    weights = [nn.Parameter(torch.zeros(1))]
    optimizer = torch.optim.Adam(weights, lr=recipe.training.learning_rate)
    rates = rate_schedule(optimizer, recipe.training)
    seen = []
    for _ in range(100):
        seen.append(rates.get_last_lr()[0])
        optimizer.step()
        rates.step()
    assert seen == [1e-4] * 60 + [0.5e-4] * 40
    assert recipe.training.iterations == 100 * recipe.steps_per_epoch
    with pytest.raises(ConfigError, match="Only compressive sensing"):
        released("derain", step=2)


@pytest.mark.parametrize("words", ["paper derain", "released cs --ratio 10 --step 2"])
def test_the_command_prints_settings_that_params_yaml_accepts(words, tmp_path):
    printed = CliRunner().invoke(command(), ["recipe", *words.split()]).output
    ((task, entry),) = yaml.safe_load(printed.partition("<profile>.train:\n")[2]).items()
    assert task == words.split()[1]
    assert TrainingSettings(**entry).iterations in (400_000, 750_000)
    assert f"architecture: {words.split()[0]}" in printed


@pytest.mark.parametrize("task", RGB)
def test_rates_by_epoch_match_the_released_code(task):
    """The golden rates come from a scheduler that deviates from its formula by a stated amount."""
    folder = Path(os.environ.get("DGUNET_BENCHMARKS") or "/nowhere").parent / "reference" / "golden"
    if not folder.is_dir():
        pytest.skip("needs ../reference/golden next to DGUNET_BENCHMARKS")
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


def cosine(base, warmup, period):
    """The rate of the printed and of the released schedule: linear rise, half a cosine to 1e-6."""

    def rate(update):
        if update < warmup:
            return base * (update + 1) / warmup
        return 1e-6 + (base - 1e-6) * (1 + math.cos(math.pi * (update - warmup) / period)) / 2

    return rate


SCHEDULES = {
    # Section 4.1: 2e-4, 4e5 steps; a warm-up of three epochs of 857, 132 and 6,000 steps.
    "paper-derain-1": (400_000, cosine(2e-4, 2_571, 397_429)),
    "paper-deblur-1": (400_000, cosine(2e-4, 396, 399_604)),
    "paper-denoise-1": (400_000, cosine(2e-4, 18_000, 382_000)),
    # Section 4.5: 1e-4, and no schedule.
    "paper-cs-1": (125_000, lambda update: 1e-4),
    # The released scripts, by epoch.
    "released-derain-1": (250, cosine(2e-4, 3, 247)),
    "released-deblur-1": (3_000, cosine(1e-4, 3, 2_997)),
    "released-denoise-1": (80, cosine(1e-4, 3, 117)),
    "released-cs-1": (400, lambda epoch: 1e-4),
    "released-cs-2": (100, lambda epoch: 1e-4 if epoch < 60 else 0.5e-4),
}
"""Number of updates and the rate of each, from the paper and the authors' scripts."""


LIKE_DERAIN = ("paper-deblur-1", "paper-denoise-1")
"""Only the warm-up differs; a scheduler takes 20 seconds for 400,000 updates."""


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_whole_schedule_of_every_recipe(name):
    updates, expected = SCHEDULES[name]
    recipe = RECIPES[name]
    compared = 30_000 if name in LIKE_DERAIN else updates
    found = list(islice(rates(recipe.training), compared))
    assert len(found) == compared
    assert -(-recipe.training.iterations // recipe.training.rate_every) == updates
    assert np.allclose(found, [expected(update) for update in range(compared)], rtol=1e-9, atol=0)
    if name not in LIKE_DERAIN:
        page = (ROOT / "docs/schedules.md").read_text(encoding="utf-8")
        assert f"{line(recipe, found)}\n" in page


def test_the_other_paper_schedules_differ_only_in_the_warm_up():
    fields = ("iterations", "learning_rate", "learning_rate_min", "rate_every", "rate_period")
    first, *others = (RECIPES[name].training for name in ("paper-derain-1", *LIKE_DERAIN))
    assert all(getattr(o, field) == getattr(first, field) for o in others for field in fields)


def test_every_recipe_has_a_schedule_in_the_test():
    assert list(SCHEDULES) == list(RECIPES)


def test_a_header_counts_the_epochs_of_what_is_not_held_out():
    header = recipe_header(paper("cs", ratio=10), named_machines())
    assert "200.0 epochs of 80,000 (210.5 of the 95 % that are not held out)" in header


def test_mixup_starts_at_its_step_and_blends_input_and_target_alike():
    plain = Noise(batch=6)
    mixed = MixUp(plain, after=2, seed=1)
    assert torch.equal(mixed.part(1, range(6))[0], plain.part(1, range(6))[0])
    degraded, target = mixed.part(2, range(6))
    assert torch.equal(degraded, target)
    assert not torch.equal(degraded, plain.part(2, range(6))[0])
    assert float(degraded.mean()) == pytest.approx(0.5, abs=0.05)


def test_a_share_of_a_mixed_batch_equals_its_part_of_the_whole_batch():
    mixed = MixUp(Noise(batch=6), after=0, seed=1)
    whole, _ = mixed.part(3, range(6))
    share, _ = mixed.part(3, [4, 5])
    assert torch.equal(share, whole[4:])


def test_params_yaml_accepts_every_loss():
    assert set(_TERMS) == set(LOSSES)
    assert set(TrainingSettings.model_json_schema()["properties"]["loss"]["enum"]) == set(LOSSES)
