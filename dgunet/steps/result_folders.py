"""Where the results of a project are."""

from __future__ import annotations

from pathlib import Path

from dgunet.config import Params
from dgunet.project import ProjectFolders, test_sets
from dgunet.terms import ABLATIONS, RELEASED_ABLATIONS


def result_folders(params: Params, here: ProjectFolders) -> list[Path]:
    """The result folders of all networks in ``params`` and of the ablations, existing or not."""
    ablations = RELEASED_ABLATIONS if here.weights == "released" else tuple(ABLATIONS)
    return [here.evaluation(name, v) for name in test_sets("all") for v in params.variants] + [
        here.ablation(name) for name in ablations
    ]
