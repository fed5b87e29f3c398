"""The most that a run requests of a cluster at a time: GPUs, CPU, memory and pods."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations
from math import ceil
from typing import Any

from dgunet.kubeflow.pipeline.graph import TaskNode

NODES_STEP = "train-nodes"
"""The step whose training runs in further pods, those of a TrainJob."""

GPU = "nvidia.com/gpu"

SIDE_CPU, SIDE_MEMORY = Decimal("0.5"), Decimal(512 << 20)
"""CPUs and bytes of a container that states none, such as the one that Argo adds to every pod: the
defaults of ``deploy/base/limit-range.yaml``."""


@dataclass(frozen=True)
class Peak:
    """What a run requests at most.

    Attributes:
        together: of all pods at a time: CPUs, bytes and devices by resource, and ``pods``.
        largest: the largest amount that one pod requests, by resource; without ``pods``.
    """

    together: Mapping[str, Decimal]
    largest: Mapping[str, Decimal]

    @property
    def quota(self) -> dict[str, str]:
        """The fields ``hard`` of a ResourceQuota that the run just fits into.

        Limits equal requests, as in every step of a run.
        """
        pods = self.together["pods"]
        cpu = str(ceil(self.together["cpu"] + pods * SIDE_CPU))
        memory = f"{ceil((self.together['memory'] + pods * SIDE_MEMORY) / (1 << 30))}Gi"
        devices = {f"requests.{name}": str(int(self.together[name])) for name in self.devices}
        limits = {"requests.cpu": cpu, "limits.cpu": cpu}
        limits |= {"requests.memory": memory, "limits.memory": memory}
        return limits | devices | {"pods": str(int(pods))}

    @property
    def devices(self) -> list[str]:
        """The resources with the devices that it requests, such as ``nvidia.com/gpu``."""
        return sorted(set(self.together) - {"cpu", "memory", "pods"})

    def __str__(self) -> str:
        return ", ".join(f"{name} {amount}" for name, amount in self.quota.items())


def peak(
    root: TaskNode, executors: Mapping[str, Any], counts: Mapping[str, int] | None = None
) -> Peak:
    """The peak of a graph; each resource has its own maximum over tasks that may run together.

    Args:
        root: the graph; branches that a run does not take are left out before.
        executors: ``deploymentSpec.executors`` of the pipeline's IR.
        counts: number of iterations of loops over a parameter, by the parameter's name.
    """
    requests = {
        node.executor: requested(executors[node.executor])
        for node in root.walk()
        if node.kind == "step"
    }
    names = sorted({name for each in requests.values() for name in each} | {"cpu", "memory"})

    def amount(name: str) -> Callable[[TaskNode], Decimal]:
        return lambda node: node.nodes * requests[node.executor].get(name, Decimal(0))

    together = {name: at_a_time(root, amount(name), counts) for name in names}
    together["pods"] = at_a_time(root, lambda node: Decimal(_pods(node)), counts)
    largest = {
        name: max((each.get(name, Decimal(0)) for each in requests.values()), default=Decimal(0))
        for name in names
    }
    return Peak(together, largest)


def requested(executor: Mapping[str, Any]) -> dict[str, Decimal]:
    """What one pod of an executor requests: CPUs, bytes, and devices by resource."""
    from kubernetes.utils.quantity import parse_quantity

    declared = executor["container"].get("resources", {})
    accelerator = declared.get("accelerator", {})
    found = {
        "cpu": declared.get("resourceCpuLimit"),
        "memory": declared.get("resourceMemoryLimit"),
        accelerator.get("resourceType") or GPU: accelerator.get("resourceCount"),
    }
    return {name: parse_quantity(amount) for name, amount in found.items() if amount}


def gpus_at_a_time(
    root: TaskNode, executors: Mapping[str, Any], counts: Mapping[str, int] | None = None
) -> int:
    """The largest number of GPUs, of all kinds, in use at the same time.

    Args:
        counts: as for `peak`.
    """

    def gpus(node: TaskNode) -> Decimal:
        declared = executors[node.executor]["container"].get("resources", {})
        return Decimal(node.nodes * int(declared.get("accelerator", {}).get("resourceCount") or 0))

    return int(at_a_time(root, gpus, counts))


def at_a_time(
    root: TaskNode,
    amount: Callable[[TaskNode], Decimal],
    counts: Mapping[str, int] | None = None,
) -> Decimal:
    """The largest sum of the ``amount`` of steps that may run at the same time."""

    def need(node: TaskNode) -> Decimal:
        if node.kind == "step":
            return amount(node)
        inside = _most_together(node.inner, [need(inner) for inner in node.inner])
        return inside * together(node, counts or {}) if node.kind == "loop" else inside

    return need(root)


def together(loop: TaskNode, counts: Mapping[str, int]) -> int:
    """Iterations of a loop at a time; 1 if neither its limit nor their number is known."""
    return min((bound for bound in (loop.limit, counts.get(loop.about, 0)) if bound), default=1)


def _pods(node: TaskNode) -> int:
    return node.nodes + 1 if node.step == NODES_STEP else 1


def _most_together(nodes: Sequence[TaskNode], needs: Sequence[Decimal]) -> Decimal:
    """The largest sum of ``needs`` over tasks none of which waits for another or excludes it."""
    before: dict[str, set[str]] = {}
    for node in nodes:  # a node is after those that it waits for
        earlier = [before[name] for name in node.after if name in before]
        before[node.name] = set(node.after).union(*earlier)
    with_need = [(node, need) for node, need in zip(nodes, needs, strict=True) if need]
    best = Decimal(0)
    for count in range(1, len(with_need) + 1):
        for group in combinations(with_need, count):
            names = {node.name for node, _ in group}
            waits = any(before[name] & names for name in names)
            if not waits and not _exclude_each_other([node for node, _ in group]):
                best = max(best, sum((need for _, need in group), Decimal(0)))
    return best


def _exclude_each_other(nodes: Sequence[TaskNode]) -> bool:
    """Whether the conditions of two of these tasks never hold at a time."""
    choices = [choice for node in nodes if (choice := node.only_if)]
    return any(one.excludes(other) for one, other in combinations(choices, 2))
