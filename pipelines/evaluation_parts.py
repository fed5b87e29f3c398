"""The evaluation of a large test set by several pods, each of which scores a part of the images."""

from collections.abc import Callable
from typing import Any

from kfp import dsl

from components.evaluate_part.component import evaluate_part
from dgunet.kubeflow.cluster.task_placement import TaskPlacement
from dgunet.terms import ABLATION_SET


def build_evaluate_parts(placement: TaskPlacement) -> list[Callable[..., Any]]:
    """Pipelines within another one, one for each test set that several pods share.

    Each gets the name of a test set, and scores the parts if it is its own. The evaluation of that
    set waits for all of them, and merges the parts; a task can wait for a pipeline, but not for a
    condition or a loop. kfp builds them before the pipeline that calls them.

    One pipeline for all sets would have more groups (conditions and loops), which kfp would mix up
    with those of the outer pipeline: it numbers the groups of each pipeline from 1, and looks an
    outer group up by its number, where it finds an inner one that it has added before.
    """
    return [_parts(placement, name, count) for name, count in placement.parts.items()]


def build_evaluate_ablation_parts(placement: TaskPlacement) -> list[Callable[..., Any]]:
    """The same for the test set of the ablations, without a condition."""
    count = placement.parts.get(ABLATION_SET)
    return [_parts(placement, "", count)] if count else []


def _parts(placement: TaskPlacement, only: str, count: int) -> Callable[..., Any]:
    """A pipeline that scores ``count`` parts of a test set, if it is ``only``; "" for any set."""

    @dsl.pipeline(name=f"evaluate-{only.lower() or 'ablation'}-parts")
    def evaluate_parts(
        dataset: str,
        variant: str,
        ratio: int,
        ablation: str,
        evaluation: str,
        code_version: str,
        image_digest: str,
        protocols: str,
        store: dsl.Input[dsl.Dataset],
        model: dsl.Input[dsl.Model],
    ):
        given = {
            "dataset": dataset,
            "variant": variant,
            "ratio": ratio,
            "ablation": ablation,
            "evaluation": evaluation,
            "code_version": code_version,
            "image_digest": image_digest,
            "protocols": protocols,
            "store": store,
            "model": model,
        }
        if not only:
            _in_pods(placement, count, given)
            return
        with dsl.If(dataset == only, name=only):
            _in_pods(placement, count, given)

    return evaluate_parts


def _in_pods(placement: TaskPlacement, count: int, given: dict) -> None:
    """Score all parts at a time, each in a pod with the settings of the step ``evaluate``."""
    numbers = [f"{number}/{count}" for number in range(1, count + 1)]
    with dsl.ParallelFor(numbers, name="parts", parallelism=count) as part:
        placement("evaluate", evaluate_part(part=part, **given), "part of a test set")
