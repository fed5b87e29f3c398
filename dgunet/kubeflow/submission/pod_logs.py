"""Logs of a run's pods, where the Kubernetes API can be asked with a kubeconfig or from inside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dgunet.system.errors import DgunetError

NODE = "workflows.argoproj.io/node-name"
RUN = "pipeline/runid"
STEP = "system-container-impl"
"""In the names of the pods that run steps; the others are Kubeflow's drivers."""


class NoClusterError(DgunetError):
    """There is no way to the Kubernetes API here."""


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
            raise NoClusterError(f"no kubeconfig that works: {error}.") from error
    return client.CoreV1Api()


def logs(
    api: Any, namespace: str, run_id: str, step: str | None = None, *, timeout: int = 60
) -> Iterator[str]:
    """Lines of all steps' pods of a run, or those of ``step``, with a head before each pod.

    Raises:
        DgunetError: if the API refuses, or the run has no such pod any more.
    """
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    try:
        found = api.list_namespaced_pod(
            namespace, label_selector=f"{RUN}={run_id}", _request_timeout=timeout
        ).items
        pods = [pod for pod in found if STEP in pod.metadata.name and _is(pod, step)]
        if not pods:
            raise DgunetError(
                f"no pod of run {run_id}{f', step {step},' if step else ''} in {namespace}.",
                "Pods go some time after the end (ending.ttl_success in the cluster file).",
            )
        for pod in sorted(pods, key=lambda pod: pod.metadata.creation_timestamp):
            yield f"== {step_of(pod)}  {pod.metadata.name}  {pod.status.phase}"
            yield from _log(api, namespace, pod, timeout)
    except ApiException as error:
        raise DgunetError(
            f"the Kubernetes API says {error.status} ({error.reason}) for namespace {namespace}.",
            "Check --namespace, and that you may get pods and pods/log there.",
        ) from error
    except HTTPError as error:
        raise DgunetError(
            f"the Kubernetes API cannot be reached ({' '.join(str(error).split())}).",
            "Check the kubeconfig.",
        ) from error


def step_of(pod: Any) -> str:
    """The task that a pod runs, from the name that the workflow controller wrote on it.

    It is the path of the task's node; its last parts are ``<task>`` and ``executor``.
    """
    path = (pod.metadata.annotations or {}).get(NODE, pod.metadata.name).split(".")
    names = [part.partition("(")[0] for part in path]
    return str(next((name for name in reversed(names) if name != "executor"), pod.metadata.name))


def _is(pod: Any, step: str | None) -> bool:
    name = step_of(pod)
    return step is None or name == step or name.rpartition("-")[0] == step


def _log(api: Any, namespace: str, pod: Any, timeout: int) -> Iterator[str]:
    from kubernetes.client.exceptions import ApiException

    try:
        text = api.read_namespaced_pod_log(
            pod.metadata.name, namespace, container="main", _request_timeout=timeout
        )
    except ApiException as error:
        if error.status != 400:  # 400: the container has not begun
            raise
        yield f"(no log yet: {pod.status.phase})"
        return
    yield from str(text).splitlines()
