"""The Kubernetes calls of a training over several nodes; what a server refuses, in one line."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from dgunet.kubeflow.trainer.trainjob import GROUP, NODE, PLURAL, VERSION, dropped
from dgunet.system.errors import DgunetError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
OF_JOB = "jobset.sigs.k8s.io/jobset-name"
"""The label by which pods and Jobs of a TrainJob are found; Trainer calls its JobSet alike."""

TIMEOUT = (5, 30)
"""Seconds to connect, and between two parts of an answer."""

DEPLOY = "deploy/README.md"
Answer = TypeVar("Answer")


class ClusterError(DgunetError):
    """The cluster refused what a training over several nodes needs."""


class UnreachableError(ClusterError):
    """The API server gave no answer for a long time; what runs there may run on."""


class Jobs:
    """TrainJobs of one namespace.

    Args:
        api: how to reach the API server.
        patience: seconds in which an API server that does not answer is asked again.
    """

    def __init__(self, api: client.ApiClient, namespace: str, patience: float = 300) -> None:
        self.namespace, self.patience = namespace, patience
        self._api = api
        self._objects = client.CustomObjectsApi(api)
        self._core = client.CoreV1Api(api)
        self._batch = client.BatchV1Api(api)

    @classmethod
    def here(cls) -> Jobs:
        """Of the namespace that this pod, or the current context of kubectl, is in.

        Raises:
            ClusterError: if neither is there.
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
                "training over several nodes needs a Kubernetes cluster, and there is none: "
                f"{_line(error)}.",
                "Run the pipeline on a cluster, or leave out trainer: in the cluster file.",
            ) from error
        return cls(client.ApiClient(), active["context"].get("namespace", "default"))

    def check_runtime(self, name: str) -> None:
        """Refuse a ClusterTrainingRuntime that is not there, unless reading it is forbidden.

        Raises:
            ClusterError: naming those that are there.
        """
        kind = (GROUP, VERSION, "clustertrainingruntimes")
        ask = self._objects
        try:
            self._ask(lambda: ask.get_cluster_custom_object(*kind, name, _request_timeout=TIMEOUT))
        except ApiException as error:
            if error.status == 403:
                return
            if error.status != 404:
                raise self._refused(error, f"to read the training runtime {name}") from error
            there = self._runtimes()
            raise ClusterError(
                f"the cluster has no ClusterTrainingRuntime {name!r}; it has {there}.",
                f"kubectl apply -f deploy/runtime.yaml, or name another as trainer.runtime "
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
        """Create ``job``; None if one of its name is there already.

        Raises:
            ClusterError: if it is refused, or a field of it was dropped; then it is gone again.
        """
        kind = (GROUP, VERSION, self.namespace, PLURAL)
        try:
            made: dict[str, Any] = self._ask(
                lambda: self._objects.create_namespaced_custom_object(
                    *kind, job, field_validation="Strict", _request_timeout=TIMEOUT
                )
            )
        except ApiException as error:
            if error.status == 409 and _reason(error) == "AlreadyExists":
                return None
            raise self._refused(
                error, f"to create the TrainJob {job['metadata']['name']}"
            ) from error
        if gone := dropped(job, made):
            self.delete(job["metadata"]["name"])
            raise ClusterError(
                f"the cluster dropped what was asked for, so nothing was started: "
                f"{', '.join(gone[:8])}.",
                f"Its Kubeflow Trainer knows other fields; 2.2 or later is needed ({DEPLOY}).",
            )
        return made

    def find(self, name: str) -> dict[str, Any] | None:
        """The job as it is now; None if there is none.

        Raises:
            ClusterError: if it may not be read.
        """
        kind = (GROUP, VERSION, self.namespace, PLURAL, name)
        try:
            found: dict[str, Any] = self._ask(
                lambda: self._objects.get_namespaced_custom_object(*kind, _request_timeout=TIMEOUT)
            )
        except ApiException as error:
            if error.status == 404:
                return None
            raise self._refused(error, f"to read the TrainJob {name}") from error
        return found

    def delete(self, name: str) -> None:
        """Remove the job with its pods, which are told to stop; none is well too.

        Raises:
            ClusterError: if it may not be removed.
        """
        kind = (GROUP, VERSION, self.namespace, PLURAL, name)
        try:
            self._ask(
                lambda: self._objects.delete_namespaced_custom_object(
                    *kind, propagation_policy="Foreground", _request_timeout=TIMEOUT
                )
            )
        except ApiException as error:
            if error.status != 404:
                raise self._refused(error, f"to delete the TrainJob {name}") from error

    def pods(self, name: str) -> list[dict[str, Any]]:
        """The job's pods, as the server writes them."""
        return self._list(self._core.list_namespaced_pod, f"pods of {name}", f"{OF_JOB}={name}")

    def jobs(self, name: str) -> list[dict[str, Any]]:
        """The Jobs behind it, whose conditions say why they failed when the pods are gone."""
        return self._list(self._batch.list_namespaced_job, f"Jobs of {name}", f"{OF_JOB}={name}")

    def events(self, name: str) -> list[dict[str, Any]]:
        """What the cluster says about making the job's pods."""
        chosen = f"involvedObject.name={name}-{NODE}-0,involvedObject.kind=Job"
        call = self._core.list_namespaced_event
        return self._list(call, f"events of {name}", field_selector=chosen)

    def _list(
        self, call: Any, what: str, label_selector: str | None = None, **more: Any
    ) -> list[dict[str, Any]]:
        if label_selector:
            more["label_selector"] = label_selector
        try:
            found = self._ask(lambda: call(self.namespace, _request_timeout=TIMEOUT, **more))
        except ApiException as error:
            raise self._refused(error, f"to list {what}") from error
        items: list[dict[str, Any]] = self._api.sanitize_for_serialization(found.items)
        return items

    def lines(self, pod: str, since: str | None) -> Iterator[tuple[str, str]]:
        """A pod's log as it is written: time and line, from ``since`` on, to the pod's end."""
        query = [("follow", "true"), ("timestamps", "true"), ("container", NODE)]
        query += [("sinceTime", since)] if since else []
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/log"
        answer = self._api.call_api(
            path,
            "GET",
            query_params=query,
            auth_settings=["BearerToken"],
            _preload_content=False,
            _request_timeout=(5, None),
        )[0]
        rest = b""
        try:
            for part in answer.stream(amt=None, decode_content=True):
                *whole, rest = (rest + part).split(b"\n")
                for line in whole:
                    when, _, text = line.decode(errors="replace").partition(" ")
                    yield when, text
        finally:
            answer.release_conn()

    def owners(self, pod: str) -> list[dict[str, Any]]:
        """What owns ``pod``: the pipeline's workflow, which takes the job along when it goes."""
        try:
            found = self._core.read_namespaced_pod(pod, self.namespace, _request_timeout=TIMEOUT)
        except (ApiException, HTTPError):
            return []
        references = self._api.sanitize_for_serialization(found.metadata.owner_references or [])
        names = ("apiVersion", "kind", "name", "uid")
        return [{name: each[name] for name in names} for each in references]

    def _ask(self, call: Callable[[], Answer]) -> Answer:
        """``call``, again and again while the server is away or busy."""
        end, wait = time.monotonic() + self.patience, 1.0
        while True:
            try:
                return call()
            except ApiException as error:
                if error.status and error.status < 500 and error.status != 429:
                    raise
                told = f"{error.status} {_message(error)}"
                cause: Exception = error
            except HTTPError as error:
                told, cause = _line(error), error
            if time.monotonic() + wait > end:
                raise UnreachableError(
                    f"the Kubernetes API does not answer: {told}.",
                    "Look at the cluster; a retried step finds the job that is there.",
                ) from cause
            time.sleep(wait)
            wait = min(wait * 2, 15)

    def _refused(self, error: ApiException, what: str) -> ClusterError:
        said = _message(error)
        if error.status == 401:
            hint = "The pod's token is not accepted: look at its service account."
        elif "exceeded quota" in said:
            hint = "Ask for less in the cluster file, or for a larger quota."
        elif "admission webhook" in said:
            hint = "A rule of the cluster forbids it: correct what it names in the cluster file."
        elif error.status == 403:
            hint = (
                "kubectl apply -f deploy/rbac.yaml in this namespace, with the service account of "
                f"the step in it ({DEPLOY})."
            )
        elif error.status == 404:
            hint = f"Install Kubeflow Trainer 2.2 or later ({DEPLOY})."
        else:
            hint = f"The cluster's Kubeflow Trainer must be 2.2 or later ({DEPLOY})."
        return ClusterError(f"the cluster refused {what} ({error.status}): {said}.", hint)


def _body(error: ApiException) -> dict[str, Any]:
    try:
        found = json.loads(error.body or "")
    except (TypeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _reason(error: ApiException) -> str:
    return str(_body(error).get("reason", ""))


def _message(error: ApiException) -> str:
    return _line(_body(error).get("message") or error.reason or error.body or "no word").rstrip(".")


def _line(said: object) -> str:
    return re.sub(r"\s+", " ", str(said)).strip()[:500]
