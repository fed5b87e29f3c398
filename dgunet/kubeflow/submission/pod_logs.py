"""Logs of a run's pods, read through the Kubernetes API with a kubeconfig or from a pod."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dgunet.system.errors import DgunetError

NODE = "workflows.argoproj.io/node-name"
RUN = "pipeline/runid"
STEP = "system-container-impl"
"""Part of the names of pods that run steps; other pods are Kubeflow's drivers."""


class NoClusterError(DgunetError):
    """No configuration for the Kubernetes API was found."""


def connect(context: str | None = None) -> Any:
    """A client of the Kubernetes API.

    Raises:
        NoClusterError: without a kubeconfig and outside of a pod.
    """
    from kubernetes import client, config

    try:
        config.load_kube_config(context=context)
    except config.ConfigException as error:
        try:
            config.load_incluster_config()
        except config.ConfigException:
            reason = str(error).rstrip(".")
            raise NoClusterError(
                f"no valid kubeconfig: {reason}.", "Set KUBECONFIG to the path of one."
            ) from error
    return client.CoreV1Api()


def read_logs(
    api: Any, namespace: str, run_id: str, step: str | None = None, *, timeout: int = 60
) -> Iterator[str]:
    """Lines of the pods of a run's steps, or of ``step``, with a heading before each pod.

    Raises:
        DgunetError: if the API refuses or does not respond, or there is no such pod.
    """
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    try:
        found = api.list_namespaced_pod(
            namespace, label_selector=f"{RUN}={run_id}", _request_timeout=timeout
        ).items
        pods = [pod for pod in found if STEP in pod.metadata.name and _belongs_to(pod, step)]
        if not pods:
            raise DgunetError(
                f"no pod of run {run_id}{f', step {step},' if step else ''} in {namespace}.",
                "Pods are deleted some time after a run (ending.ttl_success in the cluster file).",
            )
        for pod in sorted(pods, key=lambda pod: pod.metadata.creation_timestamp):
            yield f"== {step_of(pod)}  {pod.metadata.name}  {pod.status.phase}"
            yield from _log(api, namespace, pod, timeout)
    except ApiException as error:
        raise DgunetError(
            f"the Kubernetes API returned {error.status} ({error.reason}) for {namespace}.",
            "Check --namespace and your permissions for pods and pods/log in it.",
        ) from error
    except HTTPError as error:
        raise DgunetError(
            f"the Kubernetes API cannot be reached ({' '.join(str(error).split())}).",
            "Check the kubeconfig.",
        ) from error


def step_of(pod: Any) -> str:
    """The task that a pod runs, from the workflow controller's annotation.

    The annotation has the path of the task's node, which ends with ``<task>`` and ``executor``.
    """
    path = (pod.metadata.annotations or {}).get(NODE, pod.metadata.name).split(".")
    names = [part.partition("(")[0] for part in path]
    return str(next((name for name in reversed(names) if name != "executor"), pod.metadata.name))


def _belongs_to(pod: Any, step: str | None) -> bool:
    name = step_of(pod)
    return step is None or name == step or name.rpartition("-")[0] == step


def _log(api: Any, namespace: str, pod: Any, timeout: int) -> Iterator[str]:
    from kubernetes.client.exceptions import ApiException

    try:
        text = api.read_namespaced_pod_log(
            pod.metadata.name, namespace, container="main", _request_timeout=timeout
        )
    except ApiException as error:
        if error.status != 400:  # 400: the container has not started
            raise
        yield f"(no log yet: {pod.status.phase})"
        return
    yield from str(text).splitlines()
