"""Sizes of volume claims, read through the Kubernetes API with a kubeconfig or from a pod."""

from __future__ import annotations

from dgunet.kubeflow.submission import pod_logs

TIMEOUT = (3, 10)
"""Seconds to connect, and to wait for the response."""


def claim_size(namespace: str, claim: str) -> str | None:
    """The size of a volume claim as a quantity of Kubernetes, e.g. ``500Gi``.

    Returns:
        Its capacity, or what it requests if it is not bound yet. None without a kubeconfig or a
        permission, if the API does not respond, or if it has no such claim: the current context
        may belong to another cluster than the pipelines.
    """
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    try:
        api = pod_logs.connect()
        found = api.read_namespaced_persistent_volume_claim(
            claim, namespace, _request_timeout=TIMEOUT
        )
    except (pod_logs.NoClusterError, ApiException, HTTPError):
        return None
    capacity = (found.status and found.status.capacity) or {}
    requested = (found.spec.resources and found.spec.resources.requests) or {}
    return capacity.get("storage") or requested.get("storage")
