"""The plan of a submission: graph, pods, images, cache, GPU-hours, wall time, storage, warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dgunet.config import parse_params
from dgunet.costs.estimate import Estimate, Limits, Price, Work, estimate
from dgunet.costs.machines import Machine, chosen_machines
from dgunet.costs.training_cost import ISSUE
from dgunet.data.acquisition.fetch_plan import FetchPlan
from dgunet.kubeflow.cluster.settings import Cluster
from dgunet.kubeflow.pipeline.graph import TaskNode, chosen_graph, pipeline_graph
from dgunet.kubeflow.pipeline.weights_origin import weights_plans
from dgunet.kubeflow.submission.cost import (
    PlannedEvaluation,
    PlannedTraining,
    evaluations,
    trainings,
)
from dgunet.kubeflow.submission.peak import NODES_STEP, gpus_at_a_time, peak, together
from dgunet.kubeflow.submission.run_storage import RunStorage, run_storage
from dgunet.kubeflow.submission.schedule import StepLimits, gpus_of_parts, limit_warnings

TRAINING_STEPS = ("train", "train-nodes", "train-ablation")

EVALUATION_STEPS = ("evaluate", "evaluate-ablation")

NOT_COUNTED = ("preparation", "validation", "scoring", "downloads", "start of the pods")

OnEviction = Literal["no training on GPUs", "continues", "ends"]
"""What happens to a training on GPUs that loses its pod."""

FORMAT = 1
"""Version of the JSON object; a field that is renamed or removed increases it."""


@dataclass(frozen=True)
class Pod:
    """The pod of a step; "-" where the cluster file states nothing."""

    step: str
    cpu: str
    memory: str
    gpus: str
    shm: str
    timeout: str
    retries: str
    cached: str
    node_selector: str


@dataclass(frozen=True)
class SubmissionPlan:
    """Everything that the plan states; `content` and `plan_text` render the same values.

    Attributes:
        version: the name of the pipeline version on the server.
        arguments: of the run.
        profile: of the parameters.
        graph: the tasks that will run.
        images: of all steps.
        pods: one for each kind of step.
        gpus_at_a_time: largest number of GPUs in use at the same time.
        quota: fields ``hard`` of a ResourceQuota of the namespace that the run just fits into.
        on_eviction: what happens to a training that loses its pod.
        downloads: archives of the authors' weights.
        estimate: of trainings and of evaluations on GPUs.
        warnings: limits of the cluster file that are exceeded.
        storage: None without a cluster file.
    """

    version: str
    arguments: Mapping[str, Any]
    profile: str
    graph: TaskNode
    images: tuple[str, ...]
    pods: tuple[Pod, ...]
    gpus_at_a_time: int
    quota: Mapping[str, str]
    on_eviction: OnEviction
    downloads: tuple[FetchPlan, ...]
    estimate: Estimate
    warnings: tuple[str, ...]
    storage: RunStorage | None = None

    def content(self) -> dict[str, Any]:
        """Return the plan as a JSON object; docs/costs.md lists the fields."""
        pins = ("data_source", "data_version", "code_version")
        return {
            "format": FORMAT,
            "pipeline": self.graph.name,
            "version": self.version,
            "profile": self.profile,
            **{name: self.arguments[name] for name in pins},
            "images": list(self.images),
            "pods": [vars(pod) for pod in self.pods],
            "gpus_at_a_time": self.gpus_at_a_time,
            "quota": dict(self.quota),
            "on_eviction": self.on_eviction,
            "downloads": [{"name": each.name, "bytes": each.bytes} for each in self.downloads],
            "estimate": self.estimate.content(),
            "seconds_per_call": ISSUE,
            "storage": self.storage.content() if self.storage else None,
            "warnings": list(self.warnings),
        }


def submission_plan(
    document: Mapping[str, Any],
    pods: Mapping[str, Any],
    arguments: Mapping[str, Any],
    *,
    version: str,
    machines: Sequence[Machine] | None = None,
    quota: int | None = None,
    price: Price | None = None,
    cluster: Cluster | None = None,
) -> SubmissionPlan:
    """Return the plan, made without network access; it has the branches that these arguments take.

    Args:
        document: the pipeline's IR.
        pods: its Kubernetes settings by executor.
        arguments: of the run.
        version: the name of the pipeline version on the server.
        machines: the GPUs to estimate for; None for all named ones.
        quota: GPUs that the run may use at a time; None for any number.
        price: of a GPU-hour.
        cluster: the cluster file, for storage and the deadline; None without one.
    """
    root = chosen_graph(pipeline_graph(document), arguments)
    executors = document["deploymentSpec"]["executors"]
    counts = {name: len(value) for name, value in arguments.items() if isinstance(value, list)}
    params = parse_params(arguments["params"])
    limits = _limits(root, executors, pods, counts)
    made = estimate(
        _works(arguments, limits, cluster.parts if cluster else {}, quota),
        chosen_machines() if machines is None else machines,
        limits=Limits({step: limit.together for step, limit in limits.items()}, quota),
        price=price,
        notes=NOT_COUNTED,
    )
    training = {step: limit for step, limit in limits.items() if step not in EVALUATION_STEPS}
    storage = run_storage(cluster, arguments) if cluster else None
    warnings = limit_warnings(made, training, cluster.ending.deadline if cluster else None)
    return SubmissionPlan(
        version=version,
        arguments=arguments,
        profile=params.profile,
        graph=root,
        images=tuple(sorted({each["container"]["image"] for each in executors.values()})),
        pods=_pods(root, executors, pods),
        gpus_at_a_time=gpus_at_a_time(root, executors, counts),
        quota=peak(root, executors, counts).quota,
        on_eviction=_on_eviction(root, executors),
        downloads=tuple(weights_plans(arguments)),
        estimate=made,
        warnings=(*warnings, *(storage.warnings if storage else ())),
        storage=storage,
    )


def _works(
    arguments: Mapping[str, Any],
    limits: Mapping[str, StepLimits],
    parts: Mapping[str, int],
    quota: int | None,
) -> list[Work]:
    """Trainings, then evaluations on GPUs, each with the GPUs of all its parts at a time."""
    params = parse_params(arguments["params"])
    found: list[PlannedTraining | PlannedEvaluation] = list(trainings(arguments, params))
    found += evaluations(arguments, params)
    works = []
    for each in found:
        gpus = limits[each.step].gpus if each.step in limits else 0
        if isinstance(each, PlannedEvaluation):
            gpus = gpus_of_parts(gpus, parts.get(each.cost.dataset, 1), quota)
        if gpus:
            works.append(Work(each.step, each.name, each.cost, gpus))
    return works


def _limits(
    root: TaskNode,
    executors: Mapping[str, Any],
    pods: Mapping[str, Any],
    counts: Mapping[str, int],
) -> dict[str, StepLimits]:
    """The limits of each kind of training and evaluation in the graph."""
    found: dict[str, StepLimits] = {}

    def visit(node: TaskNode, step: str, number: int) -> None:
        if node.kind == "loop":
            number *= together(node, counts)
            step = "train-ablation" if node.about == "ablations" else step
        for inner in node.inner:
            visit(inner, step, number)
        if node.kind == "step" and node.step in (*TRAINING_STEPS, *EVALUATION_STEPS):
            kind = node.step if node.step in EVALUATION_STEPS else step
            gpus = gpus_at_a_time(node, executors)
            gpus = gpus if node.step in EVALUATION_STEPS else max(1, gpus)
            timeout = pods.get(node.executor, {}).get("activeDeadlineSeconds")
            found[kind] = StepLimits(gpus, number, int(timeout) if timeout else None)

    visit(root, "train", 1)
    return found


def _on_eviction(root: TaskNode, executors: Mapping[str, Any]) -> OnEviction:
    """What happens to trainings on GPUs whose node is drained, preempted or lost."""
    steps = {
        node.step
        for node in root.walk()
        if node.step in TRAINING_STEPS and gpus_at_a_time(node, executors)
    }
    if not steps:
        return "no training on GPUs"
    return "continues" if NODES_STEP in steps else "ends"


def _pods(root: TaskNode, executors: Mapping[str, Any], pods: Mapping[str, Any]) -> tuple[Pod, ...]:
    rows: dict[str, Pod] = {}
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
        rows.setdefault(node.step, Pod(node.step, *values))
    return tuple(rows.values())


def _resources(executor: Mapping[str, Any]) -> dict[str, Any]:
    declared = executor["container"].get("resources", {})
    accelerator = declared.get("accelerator", {})
    found = {
        "cpu": declared.get("resourceCpuLimit"),
        "memory": declared.get("resourceMemoryLimit"),
        "gpus": accelerator.get("resourceCount"),
    }
    return {key: value for key, value in found.items() if value}
