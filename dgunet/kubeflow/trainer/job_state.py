"""Interprets the state of a TrainJob and its pods: wait, done, resume, or failed with a reason.

Pure functions of the API server's objects, so that every case can be tested without a cluster.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from kubernetes.utils.quantity import parse_quantity

from dgunet.kubeflow.trainer.trainjob import NODE
from dgunet.training import LOST, RESUME

Pod = dict[str, Any]

NO_IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
NO_START = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
INTERRUPTED = ("Evicted", "Preempting", "Preempted", "NodeLost", "NodeShutdown", "Shutdown",
               "Terminated", "NodeAffinity")  # fmt: skip
"""Reasons of pods that ended without an error of their own."""

VANISHED = ("ContainerStatusUnknown", "Unknown")
"""Reasons of containers that the node's agent no longer found, after a restart of the machine."""

KILLED = 137
INDEX = "batch.kubernetes.io/job-completion-index"


@dataclass(frozen=True)
class Outcome:
    """How a TrainJob ended, or why it cannot start.

    Attributes:
        kind: ``resume`` means that the training is to be started again from its checkpoint.
        message: one sentence without a full stop.
        hint: how to fix the cause.
        final: False if waiting may change it: an image may become available later.
    """

    kind: Literal["done", "resume", "failed"]
    message: str
    hint: str = ""
    final: bool = True


class PodHistory:
    """The last known state of all pods: a drained pod is deleted before its job fails."""

    def __init__(self) -> None:
        self._pods: dict[str, Pod] = {}

    def update(self, pods: list[Pod]) -> list[Pod]:
        """All pods so far: the current ``pods``, and deleted ones marked as ``gone``."""
        now = {pod["metadata"]["uid"]: pod for pod in pods}
        for uid, pod in self._pods.items():
            if uid not in now:
                now[uid] = pod | {"gone": True}
        self._pods = now
        return list(now.values())


def outcome_of(
    job: dict[str, Any], pods: list[Pod], events: list[Any], jobs: list[Any]
) -> Outcome | None:
    """The outcome of ``job``; None while it runs or waits to start."""
    ended = {c["type"]: c for c in _conditions(job) if c["status"] == "True"}
    if "Complete" in ended:
        return Outcome("done", "the training is complete")
    if "Failed" in ended:
        return _cause(ended["Failed"], pods, jobs)
    return _no_quota(events, job) or _no_start(pods)


def describe(job: dict[str, Any], pods: list[Pod]) -> str:
    """The state in one line, e.g. ``2 nodes: 1 Running, 1 Pending (Unschedulable)``."""
    for condition in _conditions(job):
        if condition["type"] == "Suspended" and condition["status"] == "True" and not pods:
            return f"waiting to be admitted: {condition['message']}"
    present = [pod for pod in pods if not pod.get("gone")]
    if not present:
        return "no pods yet"
    states = sorted(map(_state, present))
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    nodes = job["spec"].get("trainer", {}).get("numNodes", "?")
    return f"{nodes} nodes: {counts}"


def rank(pod: Pod) -> str:
    """The index of the pod's node in the job."""
    annotations = pod["metadata"].get("annotations") or {}
    labels = pod["metadata"].get("labels") or {}
    return str(labels.get(INDEX) or annotations.get(INDEX) or pod["metadata"]["name"])


def _cause(condition: dict[str, Any], pods: list[Pod], jobs: list[Any]) -> Outcome:
    """Why a job failed: the cause, not its consequences.

    The loss of one node makes the processes on all others fail (exit status ``LOST``), so it is
    searched for first. Otherwise the first pod that ended counts: the others were stopped after it
    (``RESUME``), killed or removed. If all that ended lost the others, a node died without a word.
    """
    for pod in pods:
        if cause := _interruption(pod):
            return Outcome("resume", f"node {rank(pod)} was interrupted: {cause}")
    failed = (c for job in jobs for c in _conditions(job) if c["type"] == "Failed")
    for message in (c["message"] for c in failed):
        if "DisruptionTarget" in message:
            return Outcome("resume", f"a node was interrupted: {message}")
    if outcome := _no_start(pods, ended=True) or _first_to_fail(pods):
        return outcome
    for pod in pods:
        if pod.get("gone"):
            name = pod["metadata"]["name"]
            return Outcome(
                "resume", f"node {rank(pod)} was interrupted: its pod {name} was deleted"
            )
    message = f"{condition['reason']}: {condition['message']}".rstrip(".")
    if condition["reason"] == "DeadlineExceeded":
        return Outcome(
            "failed", message, "Increase the timeout of the train step in the cluster file."
        )
    return Outcome("failed", message, "For details: kubectl describe trainjob, and jobset.")


def _interruption(pod: Pod) -> str:
    status = pod.get("status") or {}
    if (_ended(pod) or {}).get("exitCode") == 0:
        return ""
    for condition in status.get("conditions") or []:
        if condition["type"] == "DisruptionTarget" and condition["status"] == "True":
            return f"{condition.get('reason', '')} {condition.get('message', '')}".strip()
    if status.get("reason") in INTERRUPTED:
        return f"{status['reason']} {status.get('message', '')}".strip()
    ended = _ended(pod) or {}
    if ended.get("reason") in VANISHED:
        return f"{ended['reason']} {ended.get('message') or ''}".strip()
    return ""


def _first_to_fail(pods: list[Pod]) -> Outcome | None:
    failed = [(pod, ended) for pod in pods if (ended := _ended(pod)) and ended.get("exitCode") != 0]
    if not failed:
        return None
    # Times have whole seconds: within the same second, an error counts before a stopped peer.
    pod, ended = min(
        failed,
        key=lambda each: (
            each[1].get("reason") != "OOMKilled",
            each[1].get("exitCode") == LOST,  # a consequence, which may be seen before its cause
            each[1].get("finishedAt") or "",
            each[1].get("exitCode") in (RESUME, KILLED),
            rank(each[0]),
        ),
    )
    node, status = f"node {rank(pod)}", ended.get("exitCode")
    if status == RESUME:
        return Outcome("resume", f"{node} was interrupted: it wrote a checkpoint and stopped")
    if status == LOST:
        silent = " and ".join(rank(each) for each in pods if not _ended(each))
        return Outcome(
            "resume",
            f"{node} lost the others"
            + (f": node {silent} was interrupted without a report" if silent else ""),
        )
    if status == KILLED:
        by_kubernetes = ended.get("reason") == "OOMKilled"
        return Outcome(
            "failed",
            f"{node} was killed ({status}), {'' if by_kubernetes else 'most likely '}out of memory",
            "Increase memory and shm (/dev/shm) of the train step in the cluster file, or decrease "
            "the batch in params.yaml.",
        )
    lines = [line for line in (ended.get("message") or "").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("dgunet: error:")]
    message = (errors or lines or [""])[-1]
    return Outcome(
        "failed",
        f"{node} ended with status {status}" + (f": {message}" if message else ""),
        "The node's log is above.",
    )


def _no_start(pods: list[Pod], ended: bool = False) -> Outcome | None:
    for pod in pods:
        for container in (pod.get("status") or {}).get("containerStatuses") or []:
            waiting = (container.get("state") or {}).get("waiting") or {}
            reason, message = waiting.get("reason", ""), waiting.get("message", "no message")
            if reason in NO_IMAGE:
                return Outcome(
                    "failed",
                    f"node {rank(pod)} cannot get the image {container.get('image')}: "
                    f"{reason}: {message}",
                    "Push the image, or correct image: and pull_secrets: in the cluster file.",
                    final=ended,
                )
            if reason in NO_START:
                return Outcome(
                    "failed",
                    f"node {rank(pod)} cannot start: {reason}: {message}",
                    "Correct secrets: and volumes: in the cluster file.",
                    final=ended,
                )
    return None


def _no_quota(events: list[Any], job: dict[str, Any]) -> Outcome | None:
    """Failure if the quota blocks the job, for good (final) or while others use it; else None."""
    nodes = job["spec"].get("trainer", {}).get("numNodes", 1)
    for event in events:
        message = event.get("message") or ""
        if "exceeded quota" not in message:
            continue
        parts = ("requested", "used", "limited")
        requested, used, limit = (_amounts(message, part) for part in parts)
        too_small = ", ".join(
            f"{name} {amount * nodes:f} of {limit[name]:f} allowed"
            for name, amount in requested.items()
            if name in limit and amount * nodes > limit[name]
        )
        hint = "Request fewer nodes, gpus or memory in the cluster file, or ask for a larger quota."
        if too_small:
            return Outcome("failed", f"the quota is too small for {nodes} nodes: {too_small}", hint)
        free = ", ".join(f"{name} {used[name]:f} of {limit[name]:f}" for name in used)
        return Outcome("failed", f"the quota is used up: {free}", hint, final=False)
    return None


def _amounts(message: str, part: str) -> dict[str, Any]:
    """Amounts by resource after ``part:`` in the message of an exceeded quota."""
    found = re.search(rf"{part}: ([^\s,]+=[^\s,]+(?:,[^\s,]+=[^\s,]+)*)", message)
    pairs = (pair.partition("=") for pair in found[1].split(",")) if found else ()
    return {name: parse_quantity(amount) for name, _, amount in pairs}


def _state(pod: Pod) -> str:
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or []:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason"):
            return str(waiting["reason"])
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return (
                f"{condition.get('reason', 'Pending')} ({condition.get('message', 'no message')})"
            )
    return str(status.get("phase", "Unknown"))


def _ended(pod: Pod) -> dict[str, Any] | None:
    for container in (pod.get("status") or {}).get("containerStatuses") or []:
        if container.get("name") == NODE:
            found: dict[str, Any] | None = (container.get("state") or {}).get("terminated")
            return found
    return None


def _conditions(thing: dict[str, Any]) -> list[dict[str, Any]]:
    return list((thing.get("status") or {}).get("conditions") or [])
