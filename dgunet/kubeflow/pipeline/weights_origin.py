"""Where the networks of a run come from: the argument ``weights`` of the pipeline ``reproduce``.

The pipeline ``evaluate_checkpoint`` has an argument of the same name, the address of a file; it
also has the digest of that file.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from dgunet.data.acquisition.fetch_plan import FetchPlan, plan_weights
from dgunet.system.errors import ConfigError
from dgunet.system.reading import shorten
from dgunet.terms import ABLATION_TASK, ABLATIONS, ORIGINS, RELEASED_ABLATIONS, TASKS

WEIGHTS, DIGEST = "weights", "weights_sha256"


def has_origin(names: Container[str]) -> bool:
    """Whether a pipeline with these parameters chooses the origin of its networks."""
    return WEIGHTS in names and DIGEST not in names


def has_file(names: Container[str]) -> bool:
    """Whether a pipeline with these parameters evaluates a file of weights."""
    return WEIGHTS in names and DIGEST in names


def is_released(arguments: Mapping[str, Any]) -> bool:
    """Whether a run with these arguments fetches the authors' weights."""
    return has_origin(arguments) and arguments[WEIGHTS] == "released"


def published_ablations(origin: str) -> list[str]:
    """The ablations that networks of this origin exist for."""
    return list(RELEASED_ABLATIONS if origin == "released" else ABLATIONS)


def check_origin(arguments: Mapping[str, Any]) -> None:
    """Refuse an unknown origin, and ablations without published weights.

    Raises:
        ConfigError: naming the value and the valid ones.
    """
    origin = arguments[WEIGHTS]
    if origin not in ORIGINS:
        raise ConfigError(
            f"weights is {shorten(origin)}.",
            "Give trained, to train every network, or released, for the authors' weights.",
        )
    possible = published_ablations(origin)
    for name in arguments["ablations"]:
        if name in ABLATIONS and name not in possible:
            raise ConfigError(
                f"ablations contains {name}, but the authors published no weights of it.",
                f"With weights={origin}, ablations can be: {', '.join(possible)}.",
            )


def weights_plans(arguments: Mapping[str, Any]) -> list[FetchPlan]:
    """What the run will download of the authors' weights; each archive once."""
    if not is_released(arguments):
        return []
    wanted = {ABLATION_TASK, *(network["kind"] for network in arguments["networks"])}
    plans = [plan_weights(task) for task in TASKS if task in wanted]
    return list({plan.name: plan for plan in plans}.values())
