"""The weights that this project has: trained here, or the authors'."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dgunet.project import ProjectFolders, model_key
from dgunet.system.errors import ConfigError
from dgunet.terms import (
    CS_RATIOS,
    ORIGINS,
    TASKS,
    VARIANTS,
    Task,
    Variant,
    WeightsOrigin,
    check_task,
)


@dataclass(frozen=True)
class OwnWeights:
    """The weights of one network.

    Attributes:
        path: the file.
        task: the task of the network.
        variant: its variant.
        ratio: for compressive sensing, the sampling ratio in percent.
        origin: a training of this project, or the authors' file.
    """

    path: Path
    task: Task
    variant: Variant
    ratio: int | None
    origin: WeightsOrigin


def all_weights(project: ProjectFolders) -> list[OwnWeights]:
    """The weights that exist in ``project``, by task, variant, ratio and origin."""
    networks = [
        (task, variant, ratio)
        for task in TASKS
        for variant in VARIANTS
        for ratio in (CS_RATIOS if task == "cs" else (None,))
    ]
    wanted = [
        OwnWeights(
            _place(project, origin, model_key(task, variant, ratio)), task, variant, ratio, origin
        )
        for task, variant, ratio in networks
        for origin in ORIGINS
    ]
    return [one for one in wanted if one.path.is_file()]


def weights_for(task: str | None, variant: str, ratio: int | None) -> Path:
    """The weights of one network in the project of the working directory, trained ones first.

    Raises:
        ConfigError: without a task, for a ratio that does not belong to it, or without weights.
    """
    if task is None:
        raise ConfigError("no weights are given.", "Give --checkpoint FILE or --task NAME.")
    if (check_task(task) == "cs") != (ratio is not None):
        raise ConfigError(f"task {task!r} with ratio {ratio}.", "--ratio goes with --task cs.")
    here, key = ProjectFolders.here(), model_key(task, variant, ratio)
    places = [_place(here, origin, key) for origin in ORIGINS]
    found = [path for path in places if path.is_file()]
    if not found:
        raise no_weights(places[0])
    return found[0]


def no_weights(place: Path) -> ConfigError:
    """The error for a project without weights at ``place``."""
    return ConfigError(
        f"there are no weights at {place}.",
        "Train them, fetch the authors' with `dgunet checkpoint fetch`, or give --checkpoint.",
    )


def _place(project: ProjectFolders, origin: WeightsOrigin, key: str) -> Path:
    return project.using(origin).model(key) / "network.safetensors"
