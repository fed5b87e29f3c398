"""Checks of the Kubernetes API, the namespace and permissions in it."""

from __future__ import annotations

from collections.abc import Iterator

from dgunet.kubeflow.cluster.settings import Cluster
from dgunet.kubeflow.doctor.findings import Finding, ok, problem, unknown, warning
from dgunet.kubeflow.doctor.reading import ClusterReader, MissingError, NotAllowedError

API = "Kubernetes API"
OF_THE_USER = (("get", "pods"), ("list", "pods"), ("get", "pods/log"))
"""What ``dgunet pipeline logs`` needs."""

OF_THE_ACCOUNT = (
    *((verb, "trainjobs.trainer.kubeflow.org") for verb in ("create", "get", "delete")),
    *(("get", "pods"), ("list", "pods"), ("get", "pods/log")),
    *(("list", "events"), ("list", "jobs.batch")),
)
"""What a step that creates TrainJobs needs: the Role in ``deploy/base``."""


def account_of(cluster: Cluster, namespace: str) -> str:
    """The service account of a run; without one in the cluster file, that of Kubeflow Pipelines."""
    standard = "pipeline-runner" if namespace == "kubeflow" else "default-editor"
    return cluster.service_account or standard


def check_api(reader: ClusterReader) -> Iterator[Finding]:
    """The version of the API server."""
    version = reader.get("/version")
    yield ok(API, f"{version.get('gitVersion', 'of unknown version')} at {reader.address}")


def check_namespace(reader: ClusterReader) -> Iterator[Finding]:
    """Whether the namespace exists."""
    name = reader.namespace
    try:
        found = reader.get(f"/api/v1/namespaces/{name}")
    except MissingError:
        hint = "Give the namespace of the runs with --namespace."
        yield problem("namespace", f"there is no namespace {name}", hint)
        return
    enforced = found["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce")
    security = f"Pod Security {enforced}" if enforced else "no Pod Security level enforced"
    if found.get("status", {}).get("phase") == "Terminating":
        yield problem("namespace", f"{name} is being deleted", "Use another namespace.")
    else:
        yield ok("namespace", f"{name}, {security}")


def check_own_rights(reader: ClusterReader) -> Iterator[Finding]:
    """Whether the user may read pods and their logs."""
    denied = [f"{verb} {what}" for verb, what in OF_THE_USER if not reader.allowed(verb, what)]
    if denied:
        hint = "dgunet pipeline logs prints only error messages then; ask for the role view."
        yield warning("your permissions", f"not allowed: {', '.join(denied)}", hint)
    else:
        yield ok("your permissions", "reading pods and their logs")


def check_account(reader: ClusterReader, cluster: Cluster) -> Iterator[Finding]:
    """Whether the service account of the run exists."""
    name = account_of(cluster, reader.namespace)
    about = f"service account {name}"
    try:
        reader.own(f"serviceaccounts/{name}")
    except MissingError:
        hint = (
            "Set service_account: pipeline-runner in a standalone Kubeflow Pipelines,"
            " default-editor in a profile."
        )
        yield problem(about, f"there is none in {reader.namespace}", hint)
        return
    yield ok(about, "exists")


def check_account_rights(reader: ClusterReader, cluster: Cluster) -> Iterator[Finding]:
    """Whether the service account may manage TrainJobs."""
    name = account_of(cluster, reader.namespace)
    about = f"permissions of {name}"
    try:
        denied = [
            f"{verb} {what}"
            for verb, what in OF_THE_ACCOUNT
            if not reader.allowed(verb, what, account=name)
        ]
    except NotAllowedError as error:
        who = f"system:serviceaccount:{reader.namespace}:{name}"
        hint = (
            f"An administrator can: kubectl -n {reader.namespace} auth can-i create"
            f" trainjobs.trainer.kubeflow.org --as {who}"
        )
        yield unknown(about, f"not allowed to review them: {error}", hint)
        return
    if denied:
        hint = "Apply deploy/overlays/single-user or deploy/overlays/profile (deploy/README.md)."
        yield problem(about, f"not allowed: {', '.join(denied)}", hint)
    else:
        yield ok(about, "creating TrainJobs and reading their pods")
