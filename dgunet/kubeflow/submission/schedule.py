"""How long the trainings of a run take on a cluster, and which limits they exceed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from dgunet.costs.formats import duration
from dgunet.costs.machines import Machine
from dgunet.kubeflow.submission.cost import PlannedTraining


@dataclass(frozen=True)
class StepLimits:
    """What the cluster file allows the trainings of one kind of step.

    Attributes:
        gpus: of each training.
        together: trainings at a time, by the parallelism of the loop.
        timeout: seconds after which a pod is stopped; None for no limit.
    """

    gpus: int
    together: int
    timeout: int | None = None


@dataclass(frozen=True)
class Training:
    """One training of the schedule: its kind of step, its GPUs and its duration."""

    step: str
    gpus: int
    seconds: float


def wall_seconds(
    trainings: Sequence[Training], together: Mapping[str, int], quota: int | None
) -> float | None:
    """Seconds until all trainings are done; None if one needs more GPUs than the quota.

    Each starts, in the order given within its kind of step, as soon as the loop's parallelism
    (``together``) and the quota allow it; until then its pod is pending.
    """
    if any(quota is not None and each.gpus > quota for each in trainings):
        return None
    waiting, now, used = list(trainings), 0.0, 0
    running: list[tuple[float, int, Training]] = []
    busy: Counter[str] = Counter()
    while waiting or running:
        for each in list(waiting):
            fits = quota is None or used + each.gpus <= quota
            if fits and busy[each.step] < together[each.step]:
                waiting.remove(each)
                used += each.gpus
                busy[each.step] += 1
                heappush(running, (now + each.seconds, len(waiting), each))
        now, _, done = heappop(running)
        used -= done.gpus
        busy[done.step] -= 1
    return now


def schedule_lines(
    found: Sequence[PlannedTraining],
    limits: Mapping[str, StepLimits],
    machines: Sequence[Machine],
    *,
    quota: int | None,
    deadline: int | None,
) -> list[str]:
    """Lines of the plan: the wall time on each kind of GPU, then a warning for each limit."""
    together = {step: limit.together for step, limit in limits.items()}
    head = "any number of GPUs" if quota is None else f"a quota of {quota} GPUs"
    lines, warnings = [f"  Wall time of all trainings with {head}:"], []
    for machine in machines:
        planned = [
            Training(each.step, gpus, each.cost.seconds(machine, gpus))
            for each in found
            for gpus in [limits[each.step].gpus]
        ]
        wall = wall_seconds(planned, together, quota)
        text = "never: a training needs more GPUs than the quota; its pod stays pending"
        lines.append(f"    {machine.name}: {text if wall is None else duration(wall)}")
        if wall is not None and deadline is not None and wall > deadline:
            warnings.append(
                f"  warning: on {machine.name} the run needs at least {duration(wall)};"
                f" ending.deadline stops it after {duration(deadline)}"
            )
        warnings += _over_timeout(found, limits, machine)
    return lines + warnings


def _over_timeout(
    found: Sequence[PlannedTraining], limits: Mapping[str, StepLimits], machine: Machine
) -> list[str]:
    """A warning for each kind of step, with its longest training."""
    lines = []
    for step, limit in limits.items():
        seconds = {e.name: e.cost.seconds(machine, limit.gpus) for e in found if e.step == step}
        over = {name for name in seconds if limit.timeout and seconds[name] > limit.timeout}
        if over and limit.timeout:
            longest = max(over, key=lambda name: seconds[name])
            lines.append(
                f"  warning: on {machine.name} {len(over)} of {len(seconds)} {step} steps need more"
                f" than their timeout of {duration(limit.timeout)} (steps."
                f"{step.replace('-', '_')}.timeout); the longest, {longest}, needs"
                f" {duration(seconds[longest])}. A stopped step continues only if it is retried"
            )
    return lines
