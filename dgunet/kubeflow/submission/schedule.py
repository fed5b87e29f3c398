"""How long the trainings of a run take on a cluster, and which limits they exceed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dgunet.costs.estimate import Estimate
from dgunet.costs.formats import duration, size
from dgunet.costs.machines import Machine
from dgunet.costs.training_cost import TrainingCost


@dataclass(frozen=True)
class StepLimits:
    """What the cluster file allows the trainings or evaluations of one kind of step.

    Attributes:
        gpus: of each.
        together: how many at a time, by the parallelism of the loops.
        timeout: seconds after which a pod is stopped; None for no limit.
    """

    gpus: int
    together: int
    timeout: int | None = None


def gpus_of_parts(gpus: int, parts: int, quota: int | None) -> int:
    """The GPUs that share the evaluation of a test set, if they are equally busy until its end.

    Parts that the quota does not allow at a time follow each other.

    Args:
        gpus: of each part.
        parts: into which the set is divided; 1 if it is not.
        quota: GPUs of the run at a time; None for any number.

    >>> [gpus_of_parts(2, 4, quota) for quota in (None, 8, 6, 2, 1)]
    [8, 8, 4, 2, 2]
    """
    if not gpus:
        return 0
    at_a_time = parts if quota is None else max(1, min(parts, quota // gpus))
    rounds = -(-parts // at_a_time)
    return gpus * (parts // rounds)


def limit_warnings(
    estimate: Estimate, limits: Mapping[str, StepLimits], deadline: int | None
) -> list[str]:
    """A sentence for each limit of the cluster file or the GPUs that the trainings exceed.

    Args:
        estimate: of the run.
        limits: of each kind of training step.
        deadline: seconds until the run is stopped; None for no limit.
    """
    warnings = []
    for each in estimate.machines:
        name, wall = each.machine.name, each.training_wall
        if wall is not None and deadline is not None and wall > deadline:
            warnings.append(
                f"on {name} the run needs at least {duration(wall)};"
                f" ending.deadline stops it after {duration(deadline)}"
            )
        warnings += _too_little_memory(estimate, each.machine)
        pairs = list(zip(estimate.works, each.seconds, strict=True))
        for step, limit in limits.items():
            of_step = {w.name: took for w, took in pairs if w.step == step and w.trains}
            warnings += _over_timeout(name, step, limit, of_step)
    return warnings


def _too_little_memory(estimate: Estimate, machine: Machine) -> list[str]:
    """A sentence about the trainings that do not fit into the memory of such GPUs."""
    needed = {
        work.name: work.cost.memory(work.gpus) or 0
        for work in estimate.works
        if isinstance(work.cost, TrainingCost) and work.cost.fits(machine, work.gpus) is False
    }
    if not needed or machine.memory is None:
        return []
    largest = max(needed, key=lambda name: needed[name])
    return [
        f"{machine.name} has {size(machine.memory)}, too little for {', '.join(needed)}; {largest}"
        f" needs {size(needed[largest])} of each GPU. Use more GPUs, or micro_batch or recompute"
    ]


def wall_lines(estimate: Estimate) -> list[str]:
    """Lines with the wall time on each kind of machine."""
    quota = estimate.limits.quota if estimate.limits else None
    head = "any number of GPUs" if quota is None else f"a quota of {quota} GPUs"
    lines = [f"  Wall time of all trainings with {head}:"]
    never = "never: a training needs more GPUs than the quota; its pod stays pending"
    for each in estimate.machines:
        wall = each.training_wall
        text = never if wall is None else duration(wall)
        if wall is not None and each.other_wall:
            text += f"; with all evaluations at most {duration(wall + each.other_wall)}"
        lines.append(f"    {each.machine.name}: {text}")
    return lines


def _over_timeout(
    machine: str, step: str, limit: StepLimits, seconds: Mapping[str, float]
) -> list[str]:
    """A sentence about a kind of step with its longest training, if its timeout is too short."""
    over = {name for name in seconds if limit.timeout and seconds[name] > limit.timeout}
    if not over or not limit.timeout:
        return []
    longest = max(over, key=lambda name: seconds[name])
    return [
        f"on {machine} {len(over)} of {len(seconds)} {step} steps need more than their timeout of"
        f" {duration(limit.timeout)} (steps.{step.replace('-', '_')}.timeout); the longest,"
        f" {longest}, needs {duration(seconds[longest])}. A stopped step continues only if it is"
        " retried"
    ]
