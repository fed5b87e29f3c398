"""Kubernetes API calls of a training on several nodes; refusals become one-line errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from dgunet.kubeflow.cluster.api_errors import one_line, refusal_message, refusal_reason
from dgunet.kubeflow.trainer.trainjob import GROUP, NODE, PLURAL, VERSION, dropped_fields
from dgunet.system.errors import DgunetError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
JOBSET_LABEL = "jobset.sigs.k8s.io/jobset-name"
"""Label of a TrainJob's pods and Jobs; the JobSet has the name of the TrainJob."""

TIMEOUT = (5, 30)
"""Seconds to connect, and to wait for the next part of a response."""

DEPLOY = "deploy/README.md"
Response = TypeVar("Response")


class ClusterError(DgunetError):
    """The cluster refused a request of a training on several nodes."""


class UnreachableError(ClusterError):
    """The API server did not respond for a long time; jobs there may still be running."""


class TrainJobs:
    """The TrainJobs of one namespace.

    Args:
        api: client of the API server.
        patience: seconds for which a request is repeated while the API server does not respond.
    """

    def __init__(self, api: client.ApiClient, namespace: str, patience: float = 300) -> None:
        self.namespace, self.patience = namespace, patience
        self._api = api
        self._objects = client.CustomObjectsApi(api)
        self._core = client.CoreV1Api(api)
        self._batch = client.BatchV1Api(api)

    @classmethod
    def here(cls) -> TrainJobs:
        """The TrainJobs of this pod's namespace, or of the current kubectl context's.

        Raises:
            ClusterError: if there is neither.
        """
        try:
            config.load_incluster_config()
            return cls(
                client.ApiClient(), (ACCOUNT / "namespace").read_text(encoding="utf-8").strip()
            )
        except config.ConfigException:
            pass
        try:
            config.load_kube_config()
            _, active = config.list_kube_config_contexts()
        except config.ConfigException as error:
            raise ClusterError(
                "training on several nodes needs a Kubernetes cluster; none found: "
                f"{one_line(error)}.",
                "Run the pipeline on a cluster, or remove trainer: from the cluster file.",
            ) from error
        return cls(client.ApiClient(), active["context"].get("namespace", "default"))

    def check_runtime(self, name: str) -> None:
        """Check that a ClusterTrainingRuntime exists; skipped without permission to read it.

        Raises:
            ClusterError: if it does not exist, naming the existing ones.
        """
        kind = (GROUP, VERSION, "clustertrainingruntimes")
        read = self._objects.get_cluster_custom_object
        try:
            self._request(lambda: read(*kind, name, _request_timeout=TIMEOUT))
        except ApiException as error:
            if error.status == 403:
                return
            if error.status != 404:
                raise self._refused(error, f"to read the training runtime {name}") from error
            raise ClusterError(
                f"the cluster has no ClusterTrainingRuntime {name!r}; it has {self._runtimes()}.",
                f"Run kubectl apply -k deploy/cluster, or set trainer.runtime to another one "
                f"({DEPLOY}).",
            ) from error

    def _runtimes(self) -> str:
        kind = (GROUP, VERSION, "clustertrainingruntimes")
        try:
            found = self._objects.list_cluster_custom_object(*kind, _request_timeout=TIMEOUT)
        except (ApiException, HTTPError):
            return "none that can be listed"
        return ", ".join(sorted(one["metadata"]["name"] for one in found["items"])) or "none"

    def create(self, job: dict[str, Any]) -> dict[str, Any] | None:
        """Create ``job``; returns the stored object, None if a job of this name exists.

        Raises:
            ClusterError: if it is refused, or the server dropped fields; the job is then deleted.
        """
        kind = (GROUP, VERSION, self.namespace, PLURAL)
        try:
            stored: dict[str, Any] = self._request(
                lambda: self._objects.create_namespaced_custom_object(
                    *kind, job, field_validation="Strict", _request_timeout=TIMEOUT
                )
            )
        except ApiException as error:
            if error.status == 409 and refusal_reason(error) == "AlreadyExists":
                return None
            raise self._refused(
                error, f"to create the TrainJob {job['metadata']['name']}"
            ) from error
        if missing := dropped_fields(job, stored):
            self.delete(job["metadata"]["name"])
            raise ClusterError(
                f"the cluster dropped fields of the TrainJob, so nothing was started: "
                f"{', '.join(missing[:8])}.",
                f"Its Kubeflow Trainer has other fields; 2.2 or later is required ({DEPLOY}).",
            )
        return stored

    def find(self, name: str) -> dict[str, Any] | None:
        """The current state of the job; None if it does not exist.

        Raises:
            ClusterError: without permission to read it.
        """
        kind = (GROUP, VERSION, self.namespace, PLURAL, name)
        try:
            found: dict[str, Any] = self._request(
                lambda: self._objects.get_namespaced_custom_object(*kind, _request_timeout=TIMEOUT)
            )
        except ApiException as error:
            if error.status == 404:
                return None
            raise self._refused(error, f"to read the TrainJob {name}") from error
        return found

    def delete(self, name: str) -> None:
        """Delete the job and its pods, which receive SIGTERM; no error if it does not exist.

        Raises:
            ClusterError: without permission to delete it.
        """
        kind = (GROUP, VERSION, self.namespace, PLURAL, name)
        try:
            self._request(
                lambda: self._objects.delete_namespaced_custom_object(
                    *kind, propagation_policy="Foreground", _request_timeout=TIMEOUT
                )
            )
        except ApiException as error:
            if error.status != 404:
                raise self._refused(error, f"to delete the TrainJob {name}") from error

    def pods(self, name: str) -> list[dict[str, Any]]:
        """The job's pods in the spelling of the API."""
        return self._list(
            self._core.list_namespaced_pod, f"pods of {name}", f"{JOBSET_LABEL}={name}"
        )

    def jobs(self, name: str) -> list[dict[str, Any]]:
        """Its Kubernetes Jobs; their conditions have the reason of a failure even without pods."""
        return self._list(
            self._batch.list_namespaced_job, f"Jobs of {name}", f"{JOBSET_LABEL}={name}"
        )

    def events(self, name: str) -> list[dict[str, Any]]:
        """Events about the creation of the job's pods."""
        selector = f"involvedObject.name={name}-{NODE}-0,involvedObject.kind=Job"
        call = self._core.list_namespaced_event
        return self._list(call, f"events of {name}", field_selector=selector)

    def _list(
        self, call: Any, what: str, label_selector: str | None = None, **more: Any
    ) -> list[dict[str, Any]]:
        if label_selector:
            more["label_selector"] = label_selector
        try:
            found = self._request(lambda: call(self.namespace, _request_timeout=TIMEOUT, **more))
        except ApiException as error:
            raise self._refused(error, f"to list {what}") from error
        items: list[dict[str, Any]] = self._api.sanitize_for_serialization(found.items)
        return items

    def lines(self, pod: str, since: str | None) -> Iterator[tuple[str, str]]:
        """Follow a pod's log from ``since`` to the end of the pod: time and text of each line."""
        query = [("follow", "true"), ("timestamps", "true"), ("container", NODE)]
        query += [("sinceTime", since)] if since else []
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/log"
        response = self._api.call_api(
            path,
            "GET",
            query_params=query,
            auth_settings=["BearerToken"],
            _preload_content=False,
            _request_timeout=(5, None),
        )[0]
        rest = b""
        try:
            for part in response.stream(amt=None, decode_content=True):
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    when, _, text = line.decode(errors="replace").partition(" ")
                    yield when, text
        finally:
            response.release_conn()

    def owners(self, pod: str) -> list[dict[str, Any]]:
        """Owner references of ``pod``: the pipeline's workflow, with which the job is deleted."""
        try:
            found = self._core.read_namespaced_pod(pod, self.namespace, _request_timeout=TIMEOUT)
        except (ApiException, HTTPError):
            return []
        references = self._api.sanitize_for_serialization(found.metadata.owner_references or [])
        names = ("apiVersion", "kind", "name", "uid")
        return [{name: each[name] for name in names} for each in references]

    def _request(self, call: Callable[[], Response]) -> Response:
        """The result of ``call``, repeated while the server is unreachable or overloaded."""
        end, wait = time.monotonic() + self.patience, 1.0
        while True:
            try:
                return call()
            except ApiException as error:
                if error.status and error.status < 500 and error.status != 429:
                    raise
                message = f"{error.status} {refusal_message(error)}"
                cause: Exception = error
            except HTTPError as error:
                message, cause = one_line(error), error
            if time.monotonic() + wait > end:
                raise UnreachableError(
                    f"the Kubernetes API does not respond: {message}.",
                    "Check the cluster; a retried step continues with the existing job.",
                ) from cause
            time.sleep(wait)
            wait = min(wait * 2, 15)

    def _refused(self, error: ApiException, action: str) -> ClusterError:
        message = refusal_message(error)
        if error.status == 401:
            hint = "The pod's token is not accepted: check its service account."
        elif "exceeded quota" in message:
            hint = "Request fewer resources in the cluster file, or ask for a larger quota."
        elif "admission webhook" in message:
            hint = "A policy of the cluster forbids it: correct that field in the cluster file."
        elif error.status == 403:
            hint = (
                "Apply deploy/overlays/single-user or profile in this namespace, with the service "
                f"account of the step as the subject of its RoleBinding ({DEPLOY})."
            )
        elif error.status == 404:
            hint = f"Install Kubeflow Trainer 2.2 or later ({DEPLOY})."
        else:
            hint = f"The cluster's Kubeflow Trainer must be 2.2 or later ({DEPLOY})."
        return ClusterError(f"the cluster refused {action} ({error.status}): {message}.", hint)
