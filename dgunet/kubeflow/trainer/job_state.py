"""What the state of a TrainJob and of its pods means: wait, done, go on, or failed and why.

Pure functions of what the API server says, so that every case is tested without a cluster.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from kubernetes.utils.quantity import parse_quantity

from dgunet.kubeflow.trainer.trainjob import NODE
from dgunet.training import RESUME

Pod = dict[str, Any]

NO_IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
NO_START = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
INTERRUPTED = ("Evicted", "Preempting", "Preempted", "NodeLost", "NodeShutdown", "Shutdown",
               "Terminated", "NodeAffinity")  # fmt: skip
"""Reasons of a pod's end that are not its own doing."""

KILLED = 137
INDEX = "batch.kubernetes.io/job-completion-index"


@dataclass(frozen=True)
class Verdict:
    """What to do: ``done``, start again (``resume``), or give up (``failed``).

    Attributes:
        message: one sentence without its full stop.
        hint: what a user can do about it.
        sure: whether waiting cannot change it; an image that cannot be pulled may come later.
    """

    kind: Literal["done", "resume", "failed"]
    message: str
    hint: str = ""
    sure: bool = True


class Memory:
    """Pods as last seen: one that was drained from its node is gone when its job has failed."""

    def __init__(self) -> None:
        self._pods: dict[str, Pod] = {}

    def see(self, pods: list[Pod]) -> list[Pod]:
        """All pods so far, with what is known of those of ``pods`` brought up to date."""
        now = {pod["metadata"]["uid"]: pod for pod in pods}
        for uid, pod in self._pods.items():
            if uid not in now:
                now[uid] = pod | {"gone": True}
        self._pods = now
        return list(now.values())


def judge(
    job: dict[str, Any], pods: list[Pod], events: list[Any], jobs: list[Any]
) -> Verdict | None:
    """What became of ``job``; None while there is nothing but to wait."""
    ended = {c["type"]: c for c in _conditions(job) if c["status"] == "True"}
    if "Complete" in ended:
        return Verdict("done", "the training is complete")
    if "Failed" in ended:
        return _why(ended["Failed"], pods, jobs)
    return _no_quota(events, job) or _no_start(pods)


def describe(job: dict[str, Any], pods: list[Pod]) -> str:
    """The state in one line, for the log, e.g. ``2 nodes: 1 Running, 1 Pending (no room)``."""
    for condition in _conditions(job):
        if condition["type"] == "Suspended" and condition["status"] == "True" and not pods:
            return f"waiting to be admitted: {condition['message']}"
    present = [pod for pod in pods if not pod.get("gone")]
    if not present:
        return "no pods yet"
    states = sorted(map(_state, present))
    told = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    nodes = job["spec"].get("trainer", {}).get("numNodes", "?")
    return f"{nodes} nodes: {told}"


def rank(pod: Pod) -> str:
    """The node's number in the job."""
    marks = pod["metadata"].get("annotations") or {}
    labels = pod["metadata"].get("labels") or {}
    return str(labels.get(INDEX) or marks.get(INDEX) or pod["metadata"]["name"])


def _why(condition: dict[str, Any], pods: list[Pod], jobs: list[Any]) -> Verdict:
    """Why a job failed: the cause, not what followed from it.

    The loss of one node makes the processes of all the others fail, so it is looked for first. Of
    the rest the pod that ended first speaks: the others were stopped after it, perhaps with
    ``RESUME``, or killed, or removed.
    """
    for pod in pods:
        if cause := _interruption(pod):
            return Verdict("resume", f"node {rank(pod)} was interrupted: {cause}")
    for told in (c["message"] for job in jobs for c in _conditions(job) if c["type"] == "Failed"):
        if "DisruptionTarget" in told:
            return Verdict("resume", f"a node was interrupted: {told}")
    if verdict := _no_start(pods, ended=True) or _first_to_fail(pods):
        return verdict
    for pod in pods:
        if pod.get("gone"):
            name = pod["metadata"]["name"]
            return Verdict("resume", f"node {rank(pod)} was interrupted: its pod {name} is gone")
    told = f"{condition['reason']}: {condition['message']}".rstrip(".")
    if condition["reason"] == "DeadlineExceeded":
        return Verdict("failed", told, "Give the train step a longer timeout in the cluster file.")
    return Verdict("failed", told, "kubectl describe trainjob and its JobSet say more.")


def _interruption(pod: Pod) -> str:
    status = pod.get("status") or {}
    if (_ended(pod) or {}).get("exitCode") == 0:
        return ""
    for condition in status.get("conditions") or []:
        if condition["type"] == "DisruptionTarget" and condition["status"] == "True":
            return f"{condition.get('reason', '')} {condition.get('message', '')}".strip()
    if status.get("reason") in INTERRUPTED:
        return f"{status['reason']} {status.get('message', '')}".strip()
    return ""


def _first_to_fail(pods: list[Pod]) -> Verdict | None:
    failed = [(pod, ended) for pod in pods if (ended := _ended(pod)) and ended.get("exitCode") != 0]
    if not failed:
        return None
    # Times have whole seconds: in the same one an error comes before a peer that was told to stop.
    pod, ended = min(
        failed,
        key=lambda each: (
            each[1].get("reason") != "OOMKilled",
            each[1].get("finishedAt") or "",
            each[1].get("exitCode") in (RESUME, KILLED),
            rank(each[0]),
        ),
    )
    node, status = f"node {rank(pod)}", ended.get("exitCode")
    if status == RESUME:
        return Verdict("resume", f"{node} was interrupted: it wrote a checkpoint and stopped")
    if status == KILLED:
        sure = ended.get("reason") == "OOMKilled"
        return Verdict(
            "failed",
            f"{node} was killed ({status}), {'' if sure else 'most likely '}out of memory",
            "Give the train step more memory in the cluster file, /dev/shm included, or make the "
            "batch of params.yaml smaller.",
        )
    words = [line for line in (ended.get("message") or "").splitlines() if line.strip()]
    told = next((w for w in reversed(words) if w.startswith("dgunet: error:")), (words or [""])[-1])
    return Verdict(
        "failed",
        f"{node} ended with status {status}" + (f": {told}" if told else ""),
        "Its log is above.",
    )


def _no_start(pods: list[Pod], ended: bool = False) -> Verdict | None:
    for pod in pods:
        for container in (pod.get("status") or {}).get("containerStatuses") or []:
            waiting = (container.get("state") or {}).get("waiting") or {}
            reason, said = waiting.get("reason", ""), waiting.get("message", "no word")
            if reason in NO_IMAGE:
                return Verdict(
                    "failed",
                    f"node {rank(pod)} cannot get the image {container.get('image')}: "
                    f"{reason}: {said}",
                    "Push it, or correct image: and pull_secrets: in the cluster file.",
                    sure=ended,
                )
            if reason in NO_START:
                return Verdict(
                    "failed",
                    f"node {rank(pod)} cannot start: {reason}: {said}",
                    "Correct secrets: and volumes: in the cluster file.",
                    sure=ended,
                )
    return None


def _no_quota(events: list[Any], job: dict[str, Any]) -> Verdict | None:
    """What the namespace's quota can never hold; one that is only used up is waited for."""
    nodes = job["spec"].get("trainer", {}).get("numNodes", 1)
    for event in events:
        said = event.get("message") or ""
        if "exceeded quota" not in said:
            continue
        asked, used, limit = (_amounts(said, word) for word in ("requested", "used", "limited"))
        short = [n for n in asked if n in limit and asked[n] * nodes > limit[n]]
        named = ", ".join(
            f"{name} {asked[name] * nodes:f} of {limit[name]:f} allowed" for name in short
        )
        hint = "Ask for less in the cluster file (nodes, gpus, memory), or for a larger quota."
        if short:
            return Verdict("failed", f"the quota can never hold {nodes} nodes: {named}", hint)
        free = ", ".join(f"{name} {used[name]:f} of {limit[name]:f}" for name in used)
        return Verdict("failed", f"the quota is used up: {free}", hint, sure=False)
    return None


def _amounts(said: str, word: str) -> dict[str, Any]:
    found = re.search(rf"{word}: ([^\s,]+=[^\s,]+(?:,[^\s,]+=[^\s,]+)*)", said)
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
            return f"{condition.get('reason', 'Pending')} ({condition.get('message', 'no word')})"
    return str(status.get("phase", "Unknown"))


def _ended(pod: Pod) -> dict[str, Any] | None:
    for container in (pod.get("status") or {}).get("containerStatuses") or []:
        if container.get("name") == NODE:
            found: dict[str, Any] | None = (container.get("state") or {}).get("terminated")
            return found
    return None


def _conditions(thing: dict[str, Any]) -> list[dict[str, Any]]:
    return list((thing.get("status") or {}).get("conditions") or [])
