"""The plan of a submission as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dgunet.costs.estimate import Estimate, MachineEstimate
from dgunet.costs.estimate_text import machine_lines, table_lines
from dgunet.costs.formats import duration, size
from dgunet.costs.training_cost import ISSUE, TrainingCost
from dgunet.kubeflow.pipeline.graph import TaskNode
from dgunet.kubeflow.submission.plan import OnEviction, SubmissionPlan
from dgunet.kubeflow.submission.schedule import wall_lines

HEADS = ("step", "cpu", "memory", "gpus", "shm", "timeout", "retries", "cached", "node selector")


_EVICTIONS: dict[OnEviction, tuple[str, ...]] = {
    "no training on GPUs": (),
    "continues": (
        "  Trainings are TrainJobs, which continue after an eviction or the loss of a node.",
        "  The cluster needs Kubeflow Trainer 2.2, deploy/cluster and an overlay of deploy.",
    ),
    "ends": (
        "  hint: a training whose pod is evicted or whose node is lost ends with an error, and is",
        "  not retried. With trainer: in the cluster file it continues (deploy/README.md).",
    ),
}


def plan_text(plan: SubmissionPlan) -> str:
    """Return the plan, to be read before anything is sent."""
    given = plan.arguments
    counts = {name: len(value) for name, value in given.items() if isinstance(value, list)}
    lines = [
        f"pipeline  {plan.graph.name}, version {plan.version}, profile {plan.profile}",
        f"data      {given['data_source']} at {given['data_version']}",
        f"code      {given['code_version']}",
        *(f"image     {image}" for image in plan.images),
        *_downloads(plan),
        "",
        "graph",
        *_branches(plan.graph.inner, counts, "  "),
        "",
        "resources of each pod",
        *table_lines([tuple(vars(pod).values()) for pod in plan.pods], HEADS),
        f"  GPUs at a time: at most {plan.gpus_at_a_time}",
        "  quota of the namespace that all this fits into: "
        + ", ".join(f"{name} {amount}" for name, amount in plan.quota.items()),
        *_EVICTIONS[plan.on_eviction],
        "",
        *_cost(plan.estimate),
    ]
    if plan.storage is not None:
        lines += plan.storage.lines()
    return "\n".join([*lines, *(f"  warning: {warning}" for warning in plan.warnings)])


def _downloads(plan: SubmissionPlan) -> list[str]:
    """A line for each archive of the authors' weights; every fetch-weights step downloads its."""
    return [
        f"weights   {each.name}: {each.title};"
        f" {size(each.bytes) if each.bytes else 'a size that nobody states'};"
        f" licence: {each.licence}"
        for each in plan.downloads
    ]


def _branches(nodes: Sequence[TaskNode], counts: Mapping[str, int], indent: str) -> list[str]:
    lines = []
    loops = {node.name: f"all {node.about}" for node in nodes if node.kind == "loop"}
    for node in nodes:
        if node.kind == "group" and node.name.startswith("exit-handler"):
            lines += _branches(node.inner, counts, indent)
            continue
        lines.append(indent + _title(node, counts, loops))
        lines += _branches(node.inner, counts, indent + "    ")
    return lines


def _title(node: TaskNode, counts: Mapping[str, int], loops: Mapping[str, str]) -> str:
    if node.kind == "loop":
        count = f"{counts[node.about]} " if node.about in counts else ""
        return f"for all {count}{node.about}, {node.limit or 'all'} at a time:"
    if node.kind == "condition":
        return f"if {node.about}:"
    if node.kind == "group":
        return f"{node.name}:"
    if node.last:
        return f"{node.name}  (always, at the end)"
    waits = [loops.get(name, name) for name in node.after]
    return node.name + (f"  (after {', '.join(waits)})" if waits else "")


def _cost(estimate: Estimate) -> list[str]:
    if not any(work.trains for work in estimate.works):
        return ["training: none", *_totals(estimate)]
    heads = (
        *("network", "steps x batch x patch", "GPUs", "memory"),
        *(each.machine.name for each in estimate.machines),
    )
    rows = [
        (*_training(work.name, work.cost, work.gpus), *_durations(estimate.machines, index))
        for index, work in enumerate(estimate.works)
        if isinstance(work.cost, TrainingCost)
    ]
    return ["training", *table_lines(rows, heads), *_totals(estimate)]


def _totals(estimate: Estimate) -> list[str]:
    """Lines about everything that runs on GPUs; none if nothing does."""
    if not estimate.works:
        return []
    evaluated = sum(not work.trains for work in estimate.works)
    return [
        *machine_lines(estimate),
        f"  In the totals are {evaluated} evaluations on GPUs. A step of a training takes at least",
        f"  {ISSUE * 1e6:.0f} us for each of its calls (assumed). The memory is that of each GPU.",
        f"  Not counted: {', '.join(estimate.notes)}.",
        "  To choose: --gpu, --tflops, --calibration, --quota and --price.",
        *wall_lines(estimate),
    ]


def _training(name: str, cost: TrainingCost, gpus: int) -> tuple[str, ...]:
    settings, memory = cost.settings, cost.memory(gpus)
    steps = f"{settings.iterations:,} x {settings.batch} x {settings.patch}^2"
    return (name, steps, str(gpus), "-" if memory is None else size(memory))


def _durations(machines: Sequence[MachineEstimate], index: int) -> list[str]:
    return [duration(each.seconds[index]) for each in machines]
