"""Submits a compiled pipeline: creates version, experiment and run, or uses existing ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import kfp_server_api

from dgunet.data.acquisition.fetch_plan import FetchPlan
from dgunet.kubeflow.cluster.settings import Cluster
from dgunet.kubeflow.pipeline.compiling import version_name
from dgunet.kubeflow.submission.server import CollisionError, Server, ServerError
from dgunet.system import environment
from dgunet.system.errors import ConfigError

EXPERIMENT = "dgunet"
EXAMPLE = "sha256:" + "0" * 64


@dataclass(frozen=True)
class Submitted:
    """A started run."""

    run_id: str
    url: str
    pipeline: str
    version: str
    uploaded: bool
    """Whether the version was uploaded; False if the server already had it."""
    experiment: str

    def summary(self) -> str:
        """The run in a few lines, with the command for its status."""
        uploaded = "uploaded" if self.uploaded else "already exists"
        return (
            f"version  {self.version} of {self.pipeline}, {uploaded}\n"
            f"run      {self.run_id}, experiment {self.experiment}\n"
            f"url      {self.url}\n"
            f"follow   dgunet pipeline status {self.run_id}"
        )


def submit_run(
    server: Server,
    text: str,
    arguments: Mapping[str, Any],
    *,
    pipeline: str,
    run_name: str,
    cluster: Cluster,
    experiment: str = EXPERIMENT,
) -> Submitted:
    """Start a run.

    Args:
        text: the IR.
        arguments: see `dgunet.kubeflow.pipeline.arguments`.
        pipeline: the pipeline's name on the server.
        run_name: the name of the run on the server.
        cluster: its service account runs the pods.
        experiment: created if it does not exist.

    Raises:
        ConfigError: if the image is the placeholder.
        ServerError: if the server is unreachable, refuses or fails.
    """
    check_image(cluster)
    check_server(server)
    pipeline_id = _pipeline(server, pipeline)
    version = version_name(text)
    version_id, uploaded = _version(server, pipeline_id, version, text)
    reference = kfp_server_api.V2beta1PipelineVersionReference(
        pipeline_id=pipeline_id, pipeline_version_id=version_id
    )
    body = kfp_server_api.V2beta1Run(
        experiment_id=_experiment(server, experiment),
        display_name=run_name,
        pipeline_version_reference=reference,
        runtime_config=kfp_server_api.V2beta1RuntimeConfig(parameters=dict(arguments)),
        service_account=cluster.service_account,
    )
    run = server.call("run", "create_run", body, doing="starting the run")
    url = run_url(server, run.run_id)
    return Submitted(run.run_id, url, pipeline, version, uploaded, experiment)


def check_image(cluster: Cluster) -> None:
    """Refuse the placeholder image of ``pipelines/cluster.yaml``.

    Raises:
        ConfigError: naming the field.
    """
    if cluster.digest == EXAMPLE:
        raise ConfigError(
            f"image {cluster.image!r} is the placeholder of pipelines/cluster.yaml.",
            "Build and push your image (make image, docker push), and set image to its digest.",
        )


def check_consent(cluster: Cluster, plans: Sequence[FetchPlan]) -> None:
    """Refuse downloads whose terms the cluster file does not accept: a pod can ask nobody.

    A variable that a secret sets is taken for an acceptance.

    Raises:
        ConfigError: naming the weights and the field.
    """
    variable = environment.ACCEPT_LICENCE
    if any(variable.name in secret.keys.values() for secret in cluster.secrets):
        return
    accepted = variable.convert(cluster.environment.get(variable.name, ""))
    lacking = ",".join(plan.name for plan in plans if not accepted & {plan.name, "all"})
    if lacking:
        raise ConfigError(
            f"the licence of {lacking} has not been accepted, and a pod has no terminal to ask on.",
            f"Read the terms (--dry-run); then set environment.{variable.name} of the cluster file"
            f" to {lacking}, or to all.",
        )


def check_server(server: Server) -> None:
    """Check that a pipelines API responds, and that a namespace is given for a multi-user server.

    Raises:
        ServerError: if it does not respond, or the namespace is missing.
    """
    health = server.call("healthz", "get_healthz", doing="checking the server")
    if health.multi_user and not server.access.namespace:
        raise ServerError(
            f"{server.access.host} is a multi-user server.", "Give your profile: --namespace NAME."
        )


def run_url(server: Server, run_id: str) -> str:
    """The run's page in the user interface."""
    return f"{server.access.page}/#/runs/details/{run_id}"


def _named(name: str) -> str:
    """A filter for exactly this name; 1 is EQUALS."""
    predicate = {"operation": 1, "key": "display_name", "stringValue": name}
    return json.dumps({"predicates": [predicate]})


def _pipeline(server: Server, name: str) -> str:
    scope = {"namespace": server.access.namespace}
    doing = f"looking for the pipeline {name}"
    found = server.call("pipeline", "list_pipelines", filter=_named(name), doing=doing, **scope)
    if found.pipelines:
        return str(found.pipelines[0].pipeline_id)
    body = kfp_server_api.V2beta1Pipeline(
        name=name,
        display_name=name,
        description="dgunet: see docs/kubeflow.md of the project",
        namespace=server.access.namespace or None,
    )
    try:
        made = server.call(
            "pipeline", "create_pipeline", body, doing=f"creating the pipeline {name}"
        )
    except CollisionError as error:
        raise CollisionError(
            f"{server.access.host} has a pipeline {name} that is not visible to you.",
            "It belongs to someone else: choose another name with --pipeline-name.",
        ) from error
    return str(made.pipeline_id)


def _version(server: Server, pipeline_id: str, version: str, text: str) -> tuple[str, bool]:
    """The id of the version with this content, and whether it was uploaded."""
    if found := _find_version(server, pipeline_id, version):
        return found, False
    with TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            made = server.call(
                "pipeline_upload",
                "upload_pipeline_version",
                str(path),
                name=version,
                pipelineid=pipeline_id,
                doing=f"uploading version {version}",
            )
        except CollisionError:
            found = _find_version(
                server, pipeline_id, version
            )  # uploaded by someone else meanwhile
            if found is None:
                raise
            return found, False
    return str(made.pipeline_version_id), True


def _find_version(server: Server, pipeline_id: str, version: str) -> str | None:
    found = server.call(
        "pipeline",
        "list_pipeline_versions",
        pipeline_id,
        filter=_named(version),
        doing=f"looking for version {version}",
    )
    versions = found.pipeline_versions or []
    return str(versions[0].pipeline_version_id) if versions else None


def _experiment(server: Server, name: str) -> str:
    scope = {"namespace": server.access.namespace}
    look = {"filter": _named(name), "doing": f"looking for the experiment {name}"} | scope
    found = server.call("experiment", "list_experiments", **look).experiments
    if not found:
        body = kfp_server_api.V2beta1Experiment(
            display_name=name, namespace=server.access.namespace or None
        )
        doing = f"creating the experiment {name}"
        try:
            return str(
                server.call("experiment", "create_experiment", body, doing=doing).experiment_id
            )
        except CollisionError:
            found = server.call("experiment", "list_experiments", **look).experiments
            if not found:
                raise
    if found[0].storage_state == "ARCHIVED":
        raise ServerError(
            f"the experiment {name} is archived.",
            "Restore it, or give another one with --experiment.",
        )
    return str(found[0].experiment_id)
