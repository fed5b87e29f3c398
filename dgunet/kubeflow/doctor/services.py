"""Checks of the services that a run uses: MLflow, the pipelines server, the data's remotes."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import SplitResult, urlsplit
from urllib.request import Request, urlopen

from dgunet.kubeflow.cluster.settings import Cluster
from dgunet.kubeflow.doctor.findings import Finding, ok, problem, unknown, warning
from dgunet.kubeflow.doctor.reading import ClusterReader, MissingError
from dgunet.kubeflow.submission.data_origin import check_pushed, pushed_data
from dgunet.kubeflow.submission.server import Server
from dgunet.kubeflow.submission.submitting import check_server
from dgunet.system import environment
from dgunet.system.address import Address
from dgunet.system.errors import ConfigError, DgunetError

SECONDS = 10
VARIABLE = environment.MLFLOW_TRACKING_URI.name
PORTS = {"http": 80, "https": 443}


def check_mlflow(reader: ClusterReader, cluster: Cluster, *, inside: bool) -> Iterator[Finding]:
    """Whether the MLflow server of the steps exists, and responds where that can be seen.

    Args:
        inside: whether this process runs in a pod, where names of services are known.
    """
    address = cluster.environment.get(VARIABLE, "")
    if not address:
        hint = f"Set environment.{VARIABLE} to deliver runs to a server."
        yield warning("MLflow", "no server is set; runs stay in DGUNET_HOME", hint)
        return
    parts = urlsplit(address)
    if parts.scheme not in PORTS or not parts.hostname:
        hint = f"Set environment.{VARIABLE} to http://SERVICE.NAMESPACE.svc.cluster.local:PORT."
        yield problem("MLflow", f"{Address(address)} is not the address of a server", hint)
        return
    about = f"MLflow at {Address(address)}"
    service = _service(parts, reader.namespace)
    if service is None or inside:
        yield _response(about, address)
        return
    yield from _of_service(reader, about, *service)


def _service(parts: SplitResult, namespace: str) -> tuple[str, str, int] | None:
    """Name, namespace and port of a service; None for a host outside of the cluster."""
    labels = (parts.hostname or "").split(".")
    port = parts.port or PORTS[parts.scheme]
    if len(labels) == 1 and labels[0] != "localhost":
        return labels[0], namespace, port
    if len(labels) == 2 or labels[2:3] == ["svc"]:
        return labels[0], labels[1], port
    return None


def _of_service(
    reader: ClusterReader, about: str, name: str, namespace: str, port: int
) -> Iterator[Finding]:
    try:
        found = reader.get(f"/api/v1/namespaces/{namespace}/services/{name}")
    except MissingError:
        hint = "Install one (deploy/overlays/mlflow), or correct the address."
        yield problem(about, f"there is no service {name} in the namespace {namespace}", hint)
        return
    ports = [each["port"] for each in found["spec"].get("ports", [])]
    if port not in ports:
        known = ", ".join(map(str, ports)) or "none"
        hint = f"Correct the port of environment.{VARIABLE}."
        yield problem(about, f"the service {name} has the ports {known}, not {port}", hint)
        return
    text = "cannot be checked from here: the service exists with this port, but only a pod reaches"
    hint = (
        f"To see whether it responds: kubectl -n {namespace} port-forward svc/{name} {port}, then"
        f" open http://localhost:{port}/health."
    )
    yield unknown(about, f"{text} it", hint)


def _response(about: str, address: str) -> Finding:
    """The finding after one request for the server's health, which needs no login."""
    try:
        with urlopen(Request(address.rstrip("/") + "/health"), timeout=SECONDS) as answer:
            healthy = answer.read(64).strip() == b"OK"
    except HTTPError as error:
        hint = "Check the address; a proxy before the server may want a login."
        return warning(about, f"its /health returns {error.code}", hint)
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        return unknown(about, f"cannot be checked from here: no response ({reason})")
    if healthy:
        return ok(about, "responds")
    return warning(about, "what responds is not MLflow", f"Correct environment.{VARIABLE}.")


def check_data(home: Path) -> Iterator[Finding]:
    """Whether pods find the data: the commit is pushed, and the DVC remote has its files."""
    about = "data"
    try:
        address, commit = pushed_data(home)
        check_pushed(home)
    except ConfigError as error:
        yield problem(about, error.message, error.hint)
        return
    yield ok(about, f"the DVC remote has all files of {commit[:12]} of {address}")


def check_pipelines(connect: Callable[[], Server]) -> Iterator[Finding]:
    """Whether a pipelines server responds; unknown if no address is given."""
    about = "Kubeflow Pipelines"
    try:
        server = connect()
    except ConfigError as error:
        yield unknown(about, f"not checked: {error.message}", error.hint)
        return
    try:
        check_server(server)
    except DgunetError as error:
        yield problem(about, error.message, error.hint)
        return
    yield ok(about, f"{server.access.host} responds")
