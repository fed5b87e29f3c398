"""The command ``dgunet pipeline doctor``, and its checks before a submission."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dgunet.cli.planned_run import (
    GivenParameters,
    ParamsOption,
    PipelineName,
    arguments_of,
    compiled,
)
from dgunet.cli.server_connection import Connection, with_connection

if TYPE_CHECKING:
    from dgunet.kubeflow.cluster.settings import Cluster
    from dgunet.kubeflow.doctor.findings import Finding, State
    from dgunet.kubeflow.pipeline.graph import TaskNode
    from dgunet.kubeflow.submission.peak import Peak

NAMESPACE = "kubeflow"
"""Of the runs, in a standalone Kubeflow Pipelines."""

Run = tuple[Mapping[str, Any], Mapping[str, Any]]
"""The pipeline's IR, and the arguments of the run."""

ANY_DATA = ("data_source=https://example.org/data.git", f"data_version={'0' * 40}")
"""Stands for the data, which change nothing that the checks ask for."""


@with_connection
def doctor(
    cluster: Annotated[
        Path, typer.Option("--cluster", help="an adapted copy of pipelines/cluster.yaml")
    ],
    connection: Connection,
    name: PipelineName = "reproduce",
    given: GivenParameters = None,
    params_file: ParamsOption = None,
    context: Annotated[
        str | None,
        typer.Option(help="context of the kubeconfig", show_default="the current one"),
    ] = None,
) -> None:
    """Check whether a run with this cluster file can start; changes nothing.

    Reads, with your kubeconfig and its permissions: the API, the namespace (--namespace, by default
    kubeflow), the service account, secrets and their keys, claims, the quota, GPU nodes, Kubeflow
    Trainer and MLflow; then the image in its registry, the data on the git and DVC remotes, and the
    pipelines server of --host. Each line is ok, warning, problem, or unknown for what you may not
    read or cannot be seen from here. Exit status 1 if there is a problem.

    Example: dgunet pipeline doctor --cluster my-cluster.yaml --namespace team
    """
    from dgunet.kubeflow.cluster.settings import load_cluster
    from dgunet.kubeflow.doctor.checkup import Checkup, inside_a_pod, reader_of
    from dgunet.kubeflow.doctor.findings import problems
    from dgunet.kubeflow.pipeline.compiling import documents
    from dgunet.project import ProjectFolders

    here, settings = ProjectFolders.here(), load_cluster(cluster)
    text = compiled(name, here, settings)
    own_data = any(entry.startswith("data_source=") for entry in given or [])
    parameters = [*(given or []), *(() if own_data else ANY_DATA)]
    arguments = arguments_of(
        text, here, params_file, parameters, on_cluster=True, image_digest=settings.digest
    )
    run = (documents(text)[0], arguments)
    checkup = Checkup(
        reader_of(connection.namespace or NAMESPACE, context),
        _used(settings, run),
        here.home,
        _needs(*run),
        inside_a_pod(),
        connection.server,
        with_data=not own_data,
    )
    found = []
    for finding in checkup.findings():
        found.append(finding)
        typer.echo(str(finding))
    typer.echo(_counts(found))
    if problems(found):
        raise typer.Exit(1)


def check_before(cluster: Cluster, namespace: str, home: Path, run: Run) -> None:
    """Check the cluster before a run is submitted; without a kubeconfig nothing is checked.

    Args:
        run: the pipeline's IR, and the arguments of the run.

    Raises:
        DgunetError: for problems that the run would fail with.
    """
    from dgunet.kubeflow.doctor.access import API
    from dgunet.kubeflow.doctor.checkup import Checkup, inside_a_pod, reader_of
    from dgunet.kubeflow.doctor.findings import problems
    from dgunet.kubeflow.submission.pod_logs import NoClusterError
    from dgunet.system.errors import DgunetError

    try:
        reader = reader_of(namespace)
    except NoClusterError as error:
        typer.echo(f"checks   skipped: {error.message}")
        return
    found = list(
        Checkup(reader, _used(cluster, run), home, _needs(*run), inside_a_pod()).findings()
    )
    for finding in found:
        if finding.state in ("problem", "warning"):
            typer.echo(str(finding))
    typer.echo(f"checks   {_counts(found)}; all of them: dgunet pipeline doctor")
    # The pipelines server may be reachable where the Kubernetes API is not.
    if faults := [each for each in problems(found) if each.about != API]:
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise DgunetError(
            f"the run would fail: {faults[0].about}: {faults[0].text}{more}.",
            f"Nothing was sent. If your kubeconfig is not that of the pipelines' cluster"
            f" ({reader.address}): --skip-checks.",
        )


def _used(cluster: Cluster, run: Run) -> Cluster:
    """The cluster file less ``trainer:`` if the run creates no TrainJobs."""
    from dgunet.kubeflow.submission.peak import NODES_STEP

    if any(node.step == NODES_STEP for node in _graph(run).walk()):
        return cluster
    return cluster.model_copy(update={"trainer": None})


def _graph(run: Run) -> TaskNode:
    """The tasks that run with these arguments."""
    from dgunet.kubeflow.pipeline.graph import chosen_graph, pipeline_graph

    document, arguments = run
    return chosen_graph(pipeline_graph(document), arguments)


def _needs(document: Mapping[str, Any], arguments: Mapping[str, Any]) -> Peak:
    """What a run requests at a time."""
    from dgunet.kubeflow.submission.peak import peak

    counts = {name: len(value) for name, value in arguments.items() if isinstance(value, list)}
    return peak(_graph((document, arguments)), document["deploymentSpec"]["executors"], counts)


def _counts(found: Iterable[Finding]) -> str:
    """How many checks have each state, e.g. ``12 ok, 1 problem``."""
    counts = Counter(each.state for each in found)
    states: tuple[State, ...] = ("ok", "warning", "problem", "unknown")
    return ", ".join(f"{counts[state]} {state}" for state in states if counts[state])
