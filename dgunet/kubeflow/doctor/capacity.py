"""Checks whether the quota and the nodes of a cluster have what a run requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from kubernetes.utils.quantity import parse_quantity

from dgunet.kubeflow.cluster.settings import Cluster, Step, Toleration
from dgunet.kubeflow.doctor.findings import Finding, ok, problem, unknown, warning
from dgunet.kubeflow.doctor.reading import ClusterReader
from dgunet.kubeflow.submission.peak import GPU, Peak

GPU_STEPS = ("train", "train_ablation", "evaluate")
EFFECTS = ("NoSchedule", "NoExecute")
"""Effects of a taint that keep pods away."""


def check_quota(reader: ClusterReader, needs: Peak) -> Iterator[Finding]:
    """Whether every pod of a run fits into the quota, and whether all do at a time."""
    quotas = reader.own("resourcequotas").get("items", [])
    if not quotas:
        yield ok("quota", f"none in {reader.namespace}; the run requests up to {needs}")
    for quota in quotas:
        about = f"quota {quota['metadata']['name']}"
        if quota["spec"].get("scopes") or quota["spec"].get("scopeSelector"):
            yield unknown(about, "it holds only for pods of a scope, which is not compared")
            continue
        hard = quota.get("status", {}).get("hard") or quota["spec"].get("hard", {})
        used = quota.get("status", {}).get("used", {})
        never, wait = _shortages(hard, used, needs)
        if never:
            hint = "Request less in the cluster file, or ask for a larger quota."
            yield problem(about, f"a single pod exceeds it: {', '.join(never)}", hint)
        elif wait:
            hint = "Pods wait for each other; a lower parallelism: in the cluster file avoids that."
            yield warning(about, f"the run does not fit at once: {', '.join(wait)}", hint)
        else:
            yield ok(about, "the run fits")


def _shortages(
    hard: Mapping[str, str], used: Mapping[str, str], needs: Peak
) -> tuple[list[str], list[str]]:
    """What a single pod lacks, and what all pods at a time lack."""
    never, wait = [], []
    for name, wanted in needs.quota.items():
        resource = name.partition(".")[2]
        # A quota may call requests.cpu cpu, too.
        limited = next((each for each in (name, resource) if each in hard), None)
        if limited is None or (limited == resource and name.startswith("limits.")):
            continue
        limit = parse_quantity(hard[limited])
        taken = used.get(limited, "0")
        largest = needs.largest.get(resource, Decimal(0))
        if largest > limit:
            never.append(f"{limited} is {hard[limited]}, one pod needs {_amount(name, largest)}")
        elif parse_quantity(wanted) > limit - parse_quantity(taken):
            also = f" and {taken} used" if taken != "0" else ""
            wait.append(f"{limited} is {hard[limited]}{also}, at a time {wanted}")
    return never, wait


def _amount(name: str, amount: Decimal) -> str:
    return f"{amount / (1 << 30):.4g}Gi" if name.endswith("memory") else f"{amount:f}"


def check_nodes(reader: ClusterReader, cluster: Cluster) -> Iterator[Finding]:
    """Whether there are nodes for each step on GPUs: devices, labels and taints."""
    steps = {name: cluster.step(name) for name in GPU_STEPS}
    steps = {name: step for name, step in steps.items() if step.gpus}
    if not steps:
        yield ok("GPU nodes", "no step requests GPUs")
        return
    nodes = reader.get("/api/v1/nodes").get("items", [])
    for name, step in steps.items():
        about = f"GPU nodes for {name}"
        wanted = f"{step.gpus} x {step.gpu_type or GPU}"
        faults = [_fault(node, step) for node in nodes]
        if count := faults.count(""):
            yield ok(about, f"{count} of {len(nodes)} have {wanted}")
            continue
        # The node that fits best has the fault that is checked last.
        order = ("labels", "devices", "CPU", "memory", "taint", "cordoned")
        best = max(faults, key=lambda text: order.index(text.partition(":")[0]), default="")
        text = f"none of {len(nodes)} nodes fits ({wanted}); the closest: {best or 'none'}"
        hint = (
            f"Correct gpus, gpu_type, node_selector or tolerations of steps.{name}, unless an"
            " autoscaler adds such nodes."
        )
        yield warning(about, text, hint)


def _labels(node: Mapping[str, Any]) -> dict[str, str]:
    return dict(node["metadata"].get("labels") or {})


def _fault(node: Mapping[str, Any], step: Step) -> str:
    """Why a pod of ``step`` cannot run on ``node``; "" if it can."""
    name, labels = node["metadata"]["name"], _labels(node)
    for key, value in (step.node_selector or {}).items():
        if labels.get(key) != value:
            return f"labels: {name} has {key}={labels.get(key)}, not {value}"
    available = node.get("status", {}).get("allocatable", {})
    kind = step.gpu_type or GPU
    if int(available.get(kind, "0")) < (step.gpus or 0):
        return f"devices: {name} has {available.get(kind, '0')} x {kind}"
    for what, title, wanted in (("cpu", "CPU", step.cpu), ("memory", "memory", step.memory)):
        if wanted and parse_quantity(available.get(what, "0")) < parse_quantity(wanted):
            return f"{title}: {name} has {available.get(what, '0')}, not {wanted}"
    for taint in node["spec"].get("taints") or []:
        tolerated = any(_tolerates(each, taint) for each in step.tolerations or [])
        if taint["effect"] in EFFECTS and not tolerated:
            if taint["key"] == "node.kubernetes.io/unschedulable":
                return f"cordoned: {name}"
            value = f"={taint['value']}" if taint.get("value") else ""
            return f"taint: {name} has {taint['key']}{value}:{taint['effect']}"
    return f"cordoned: {name}" if node["spec"].get("unschedulable") else ""


def _tolerates(toleration: Toleration, taint: Mapping[str, Any]) -> bool:
    if toleration.effect not in (None, taint["effect"]):
        return False
    if toleration.operator == "Exists":
        return toleration.key in (None, taint["key"])
    wanted = (toleration.key, toleration.value or "")
    return wanted == (taint["key"], taint.get("value", ""))
