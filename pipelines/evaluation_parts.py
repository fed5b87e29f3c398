"""The evaluation of a large test set by several pods, each of which scores a part of the images."""

from typing import Any

from kfp import dsl

from components.evaluate_part.component import evaluate_part
from dgunet.kubeflow.cluster.task_placement import TaskPlacement
from dgunet.terms import ABLATION_SET


def build_evaluate_parts(placement: TaskPlacement, *, ablations: bool = False) -> Any:
    """A pipeline within another one, which scores the parts of a test set on a shared volume.

    The evaluation of the set waits for it and merges the parts; it cannot wait for a loop. kfp
    builds it before the pipeline that calls it. Each set has a loop of its own, whose items are
    known when the pipeline is compiled: a list in an item of the loop over the sets would be an
    inner loop over a part of an outer one's item, which runners confuse.

    Args:
        ablations: for the one test set of the ablations, without a condition.

    Returns:
        None if the cluster file has no parts of these sets.
    """
    sets = dict(placement.parts)
    if ablations:
        sets = {name: count for name, count in sets.items() if name == ABLATION_SET}
    if not sets:
        return None

    @dsl.pipeline(name="evaluate-ablation-parts" if ablations else "evaluate-parts")
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
        for name, count in sets.items():
            if ablations:
                _in_pods(placement, count, given)
            else:
                with dsl.If(dataset == name, name=name):
                    _in_pods(placement, count, given)

    return evaluate_parts


def _in_pods(placement: TaskPlacement, count: int, given: dict) -> None:
    """Score all parts at a time, each in a pod with the settings of the step ``evaluate``."""
    numbers = [f"{number}/{count}" for number in range(1, count + 1)]
    with dsl.ParallelFor(numbers, name="parts", parallelism=count) as part:
        placement("evaluate", evaluate_part(part=part, **given), "part of a test set")
