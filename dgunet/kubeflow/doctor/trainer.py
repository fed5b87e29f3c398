"""Checks of Kubeflow Trainer: its API and the runtime of the trainings."""

from __future__ import annotations

import json
from collections.abc import Iterator

from dgunet.kubeflow.cluster.settings import Trainer
from dgunet.kubeflow.doctor.findings import Finding, ok, problem, unknown
from dgunet.kubeflow.doctor.reading import ClusterReader, MissingError, NotReadError
from dgunet.kubeflow.trainer.trainjob import GROUP, PLURAL, VERSION

FIELD = "runtimePatches"
"""A field of a TrainJob that Trainer has since 2.2."""

INSTALL = "Install Kubeflow Trainer 2.2 or later, or remove trainer: from the cluster file."


def check_trainer(reader: ClusterReader) -> Iterator[Finding]:
    """Whether the API has TrainJobs, with the fields that dgunet sets.

    The lists of an API's resources and fields are open to every user, unlike its definition.
    """
    about = f"{GROUP}/{VERSION}"
    try:
        resources = reader.get(f"/apis/{GROUP}/{VERSION}").get("resources", [])
    except MissingError:
        yield problem(about, "the cluster has no Kubeflow Trainer v2", INSTALL)
        return
    if not any(each.get("name") == PLURAL for each in resources):
        yield problem(about, f"it has no {PLURAL}", INSTALL)
        return
    try:
        schema = json.dumps(reader.get(f"/openapi/v3/apis/{GROUP}/{VERSION}"))
    except NotReadError as error:
        yield unknown(about, f"has {PLURAL}; its fields are not known: {error}")
        return
    if f'"{FIELD}"' in schema:
        yield ok(about, f"has {PLURAL} with {FIELD}")
    else:
        yield problem(about, f"its {PLURAL} have no {FIELD}: it is older than 2.2", INSTALL)


def check_runtime(reader: ClusterReader, trainer: Trainer) -> Iterator[Finding]:
    """Whether the ClusterTrainingRuntime exists."""
    about = f"runtime {trainer.runtime}"
    try:
        found = reader.get(f"/apis/{GROUP}/{VERSION}/clustertrainingruntimes/{trainer.runtime}")
    except MissingError:
        hint = "kubectl apply -k deploy/cluster, or set trainer.runtime (deploy/README.md)."
        yield problem(about, "there is no such ClusterTrainingRuntime", hint)
        return
    jobs = found["spec"]["template"]["spec"].get("replicatedJobs", [])
    names = [job["name"] for job in jobs]
    if "node" not in names:
        hint = "Its replicated job and container must have the name node, as in deploy/cluster."
        yield problem(about, f"it has no replicated job 'node', but {', '.join(names)}", hint)
    else:
        yield ok(about, "exists")
