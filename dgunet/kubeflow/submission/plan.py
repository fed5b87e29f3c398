"""The plan of a submission as text: graph, pods, images, cache, GPU-hours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dgunet.config import parse_params
from dgunet.costs.formats import duration, size
from dgunet.costs.machines import Machine, chosen_machines
from dgunet.costs.training_cost import ISSUE
from dgunet.kubeflow.pipeline.graph import TaskNode, chosen_graph, pipeline_graph
from dgunet.kubeflow.pipeline.weights_origin import weights_plans
from dgunet.kubeflow.submission.cost import PlannedTraining, trainings
from dgunet.kubeflow.submission.peak import gpus_at_a_time, peak, together
from dgunet.kubeflow.submission.schedule import StepLimits, schedule_lines

TRAINING_STEPS = ("train", "train-nodes", "train-ablation")

HEADS = ("step", "cpu", "memory", "gpus", "shm", "timeout", "retries", "cached", "node selector")


def submission_plan(
    document: Mapping[str, Any],
    pods: Mapping[str, Any],
    arguments: Mapping[str, Any],
    *,
    version: str,
    gpu: str | None = None,
    tflops: float | None = None,
    quota: int | None = None,
    deadline: int | None = None,
) -> str:
    """The plan, made without network access; it has the branches that these arguments take.

    Args:
        document: the pipeline's IR.
        pods: its Kubernetes settings by executor.
        arguments: of the run.
        version: the name of the pipeline version on the server.
        gpu: model of the GPUs, one of `dgunet.costs.machines.NAMED_GPUS`; by default all of them.
        tflops: instead of ``gpu``, sustained TFLOP/s of a GPU.
        quota: GPUs that the run may use at a time; None for any number.
        deadline: seconds until the run is stopped; None for no limit.

    Raises:
        ConfigError: for an unknown GPU, or for both options together.
    """
    machines = chosen_machines(gpu, tflops)
    root = chosen_graph(pipeline_graph(document), arguments)
    executors = document["deploymentSpec"]["executors"]
    images = sorted({executor["container"]["image"] for executor in executors.values()})
    counts = {name: len(value) for name, value in arguments.items() if isinstance(value, list)}
    params = parse_params(arguments["params"])
    lines = [
        f"pipeline  {root.name}, version {version}, profile {params.profile}",
        f"data      {arguments['data_source']} at {arguments['data_version']}",
        f"code      {arguments['code_version']}",
        *(f"image     {image}" for image in images),
        *_downloads(arguments),
        "",
        "graph",
        *_branches(root.inner, counts, "  "),
        "",
        "resources of each pod",
        *_table(_rows(root, executors, pods)),
        f"  GPUs at a time: at most {gpus_at_a_time(root, executors, counts)}",
        f"  quota of the namespace that all this fits into: {peak(root, executors, counts)}",
        "",
    ]
    found = trainings(arguments, params)
    if not found:
        return "\n".join([*lines, "training: none"])
    limits = _limits(root, executors, pods, counts)
    lines += _cost(found, {step: limit.gpus for step, limit in limits.items()}, machines)
    lines += schedule_lines(found, limits, machines, quota=quota, deadline=deadline)
    return "\n".join(lines)


def _limits(
    root: TaskNode,
    executors: Mapping[str, Any],
    pods: Mapping[str, Any],
    counts: Mapping[str, int],
) -> dict[str, StepLimits]:
    """The limits of each kind of training step in the graph."""
    found: dict[str, StepLimits] = {}

    def visit(node: TaskNode, step: str, number: int) -> None:
        if node.kind == "loop":
            number *= together(node, counts)
            step = "train-ablation" if node.about == "ablations" else step
        for inner in node.inner:
            visit(inner, step, number)
        if node.kind == "step" and node.step in TRAINING_STEPS:
            gpus = max(1, gpus_at_a_time(node, executors))
            timeout = pods.get(node.executor, {}).get("activeDeadlineSeconds")
            found[step] = StepLimits(gpus, number, int(timeout) if timeout else None)

    visit(root, "train", 1)
    return found


def _downloads(arguments: Mapping[str, Any]) -> list[str]:
    """A line for each archive of the authors' weights; every fetch-weights step downloads its."""
    return [
        f"weights   {plan.name}: {plan.title};"
        f" {size(plan.bytes) if plan.bytes else 'a size that nobody states'};"
        f" licence: {plan.licence}"
        for plan in weights_plans(arguments)
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


def _rows(
    root: TaskNode, executors: Mapping[str, Any], pods: Mapping[str, Any]
) -> list[tuple[str, ...]]:
    rows: dict[str, tuple[str, ...]] = {}
    for node in root.walk():
        if node.kind != "step":
            continue
        resources = _resources(executors[node.executor])
        pod = pods.get(node.executor, {})
        shm = [m.get("sizeLimit", "?") for m in pod.get("emptyDirMounts", ())]
        selector = pod.get("nodeSelector", {}).get("labels", {})
        gpus = resources.get("gpus", "-")
        values = (
            *(str(resources.get(key, "-")) for key in ("cpu", "memory")),
            f"{node.nodes} x {resources.get('gpus', 0)}" if node.nodes > 1 else gpus,
            ", ".join(shm) or "-",
            f"{pod['activeDeadlineSeconds']} s" if "activeDeadlineSeconds" in pod else "-",
            str(node.retries),
            "yes" if node.cached else "no",
            ", ".join(f"{key}={value}" for key, value in selector.items()) or "-",
        )
        rows.setdefault(node.step, (node.step, *values))
    return list(rows.values())


def _resources(executor: Mapping[str, Any]) -> dict[str, Any]:
    declared = executor["container"].get("resources", {})
    accelerator = declared.get("accelerator", {})
    found = {
        "cpu": declared.get("resourceCpuLimit"),
        "memory": declared.get("resourceMemoryLimit"),
        "gpus": accelerator.get("resourceCount"),
    }
    return {key: value for key, value in found.items() if value}


def _table(rows: Sequence[Sequence[str]], heads: Sequence[str] = HEADS) -> list[str]:
    lines = [heads, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return [
        ("  " + "  ".join(text.ljust(w) for text, w in zip(line, widths, strict=True))).rstrip()
        for line in lines
    ]


def _cost(
    found: Sequence[PlannedTraining], gpus: Mapping[str, int], machines: Sequence[Machine]
) -> list[str]:
    heads = ("network", "steps x batch x patch", "GPUs", "memory", *(m.name for m in machines))
    rows = [_training_row(each, gpus[each.step], machines) for each in found]
    totals = [
        f"  {machine.name}: {_hours(_gpu_hours(found, gpus, machine))} GPU-hours"
        f" in total ({machine.assumption})"
        for machine in machines
    ]
    return [
        "training",
        *_table(rows, heads),
        *totals,
        f"  A step takes at least {ISSUE * 1e6:.0f} us for each of its calls (assumed). The memory",
        "  is that of each GPU. Preparation, validation and evaluation are not counted. To choose:",
        "  --gpu, --tflops and --quota.",
    ]


def _gpu_hours(
    found: Sequence[PlannedTraining], gpus: Mapping[str, int], machine: Machine
) -> float:
    return sum(each.cost.gpu_hours(machine, gpus[each.step]) for each in found)


def _training_row(
    planned: PlannedTraining, gpus: int, machines: Sequence[Machine]
) -> tuple[str, ...]:
    settings, memory = planned.cost.settings, planned.cost.memory(gpus)
    return (
        planned.name,
        f"{settings.iterations:,} x {settings.batch} x {settings.patch}^2",
        str(gpus),
        "-" if memory is None else size(memory),
        *(duration(planned.cost.seconds(machine, gpus)) for machine in machines),
    )


def _hours(count: float) -> str:
    return f"{count:,.0f}" if count >= 10 else f"{count:.2g}"
