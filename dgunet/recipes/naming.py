"""Which known training the settings of a run are."""

from __future__ import annotations

from dgunet.config import TrainParams
from dgunet.network import DGUNetConfig
from dgunet.recipes.trainings import paper, released

OF_THE_MACHINE = {
    "micro_batch": 0,
    "skip_budget": 0,
    "compile": False,
    "channels_last": False,
    "recompute": False,
    "fused_adam": False,
}
"""Settings that a recipe leaves to the machine, and their defaults."""

OWN = "own"


def recipe_name(knobs: TrainParams, config: DGUNetConfig) -> str:
    """``paper``, ``released``, ``released-2`` (the second step of compressive sensing), or ``own``.

    The network is no part of it: an ablation of the paper is trained by the paper's recipe.
    """
    task, variant, ratio = config.task, config.variant, config.ratio
    known = {"paper": paper(task, variant, ratio=ratio)}
    known["released"] = released(task, variant, ratio=ratio)
    if task == "cs":
        known["released-2"] = released(task, variant, ratio=ratio, step=2)
    plain = knobs.model_copy(update=OF_THE_MACHINE)
    same = (name for name, made in known.items() if TrainParams(**made.knobs()) == plain)
    return next(same, OWN)
