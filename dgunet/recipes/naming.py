"""Identification of the recipe that given training settings correspond to."""

from __future__ import annotations

from dgunet.config import TrainingSettings
from dgunet.network import DGUNetConfig
from dgunet.recipes.trainings import paper, released

MACHINE_SETTINGS = {
    "micro_batch": 0,
    "skip_budget": 0,
    "compile": False,
    "channels_last": False,
    "recompute": False,
    "fused_adam": False,
}
"""Settings that depend on the machine and are not part of a recipe, with their defaults."""

OWN = "own"


def recipe_name(settings: TrainingSettings, config: DGUNetConfig) -> str:
    """Return ``paper``, ``released``, ``released-2`` or ``own``.

    ``released-2`` is the second step of compressive sensing. Only the task, variant and ratio of
    the network matter, so an ablation can have the recipe ``paper``.
    """
    task, variant, ratio = config.task, config.variant, config.ratio
    known = {"paper": paper(task, variant, ratio=ratio)}
    known["released"] = released(task, variant, ratio=ratio)
    if task == "cs":
        known["released-2"] = released(task, variant, ratio=ratio, step=2)
    comparable = settings.model_copy(update=MACHINE_SETTINGS)
    matches = (name for name, recipe in known.items() if recipe.training == comparable)
    return next(matches, OWN)
