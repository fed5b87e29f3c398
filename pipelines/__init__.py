"""KFP pipelines built from `components`; `PIPELINES` maps each name to its build function."""

from collections.abc import Callable
from typing import Any

from dgunet.kubeflow.cluster.task_placement import TaskPlacement
from pipelines.ablations import build_ablations
from pipelines.evaluate_checkpoint import build_evaluate_checkpoint
from pipelines.reproduce import build_reproduce
from pipelines.train_evaluate import build_train_evaluate

PIPELINES: dict[str, Callable[[TaskPlacement], Any]] = {
    "reproduce": build_reproduce,
    "train_evaluate": build_train_evaluate,
    "evaluate_checkpoint": build_evaluate_checkpoint,
    "ablations": build_ablations,
}
