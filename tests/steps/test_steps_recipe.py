"""Training settings are recognised as a known recipe."""

import pytest

from dgunet.config import load_params
from dgunet.network import preset
from dgunet.recipes.naming import recipe_name
from dgunet.recipes.trainings import released


def test_paper_settings_are_recognised_and_sample_settings_are_not(project):
    params = load_params(project / "params.yaml")
    for task, settings in params.paper.train.items():
        ratio = 10 if task == "cs" else None
        assert recipe_name(settings, preset(task, "DGUNet", ratio=ratio)) == "paper"
        assert recipe_name(params.sample.train[task], preset(task, ratio=ratio)) == "own"
    for stages in (3, 9):
        assert recipe_name(params.paper.ablate, preset("derain", stages=stages)) == "paper"


@pytest.mark.parametrize(("step", "name"), [(1, "released"), (2, "released-2")])
def test_machine_settings_do_not_change_the_recipe_name(step, name):
    settings = released("cs", ratio=25, step=step).training
    config = preset("cs", ratio=25)
    assert (
        recipe_name(settings.model_copy(update={"micro_batch": 4, "compile": True}), config) == name
    )
    assert recipe_name(settings.model_copy(update={"bfloat16": True}), config) == "own"
