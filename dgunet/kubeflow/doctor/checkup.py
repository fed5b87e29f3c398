"""All checks of a cluster, one after the other, with the permissions that the user has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dgunet.kubeflow.cluster.settings import Cluster
from dgunet.kubeflow.doctor import access, capacity, image, objects, services, trainer
from dgunet.kubeflow.doctor.findings import Finding, problem, unknown
from dgunet.kubeflow.doctor.reading import (
    ClusterReader,
    CredentialsError,
    NotAllowedError,
    NotReadError,
)
from dgunet.kubeflow.submission.peak import Peak
from dgunet.kubeflow.submission.server import Server

Check = Callable[[], Iterator[Finding]]

RIGHT = "Ask for the permission, or have an administrator run the same command."


@dataclass(frozen=True)
class Checkup:
    """What is checked.

    Attributes:
        reader: of the cluster.
        cluster: the cluster file.
        home: the clone.
        needs: what the run requests at a time.
        inside: whether this process runs in a pod of the cluster.
        connect: connects to the pipelines server; None to leave it out.
        with_data: whether the data in the git and DVC remotes are checked.
    """

    reader: ClusterReader
    cluster: Cluster
    home: Path
    needs: Peak
    inside: bool = False
    connect: Callable[[], Server] | None = None
    with_data: bool = False

    def findings(self) -> Iterator[Finding]:
        """The results of all checks; only the first one if the Kubernetes API is unreachable."""
        try:
            yield from access.check_api(self.reader)
        except NotReadError as error:
            hint = "Check the kubeconfig's current context, and whether a VPN is needed."
            yield problem(access.API, f"{self.reader.address}: {error}", hint)
        else:
            try:
                for about, check in self._of_the_cluster():
                    yield from tried(about, check)
            except CredentialsError as error:
                hint = "Log in again, or choose another context of the kubeconfig."
                yield problem(access.API, f"{self.reader.address}: {error}", hint)
        for about, check in self._of_services():
            yield from tried(about, check)

    def _of_the_cluster(self) -> Iterator[tuple[str, Check]]:
        reader, cluster = self.reader, self.cluster
        account = access.account_of(cluster, reader.namespace)
        yield "namespace", partial(access.check_namespace, reader)
        yield "your permissions", partial(access.check_own_rights, reader)
        yield f"service account {account}", partial(access.check_account, reader, cluster)
        for secret in cluster.secrets:
            yield f"secret {secret.name}", partial(objects.check_secret, reader, secret)
        for name in cluster.pull_secrets:
            yield f"pull secret {name}", partial(objects.check_pull_secret, reader, name)
        for volume in {each.claim: each for each in cluster.volumes}.values():
            check = partial(objects.check_claim, reader, cluster, volume)
            yield f"claim {volume.claim}", check
        yield "quota", partial(capacity.check_quota, reader, self.needs)
        yield "GPU nodes", partial(capacity.check_nodes, reader, cluster)
        if cluster.trainer is not None:
            yield "Kubeflow Trainer", partial(trainer.check_trainer, reader)
            yield (
                f"runtime {cluster.trainer.runtime}",
                partial(trainer.check_runtime, reader, cluster.trainer),
            )
            rights = partial(access.check_account_rights, reader, cluster)
            yield f"permissions of {account}", rights
        mlflow = partial(services.check_mlflow, reader, cluster, inside=self.inside)
        yield "MLflow", mlflow

    def _of_services(self) -> Iterator[tuple[str, Check]]:
        logins = partial(objects.registry_logins, self.reader, self.cluster)
        images = [self.cluster.image, *(step.image for step in self.cluster.steps.values())]
        for name in dict.fromkeys(filter(None, images)):
            yield "image", partial(image.check_image, self.home, name, logins)
        if self.with_data:
            yield "data", partial(services.check_data, self.home)
        if self.connect is not None:
            yield "Kubeflow Pipelines", partial(services.check_pipelines, self.connect)


def tried(about: str, check: Check) -> Iterator[Finding]:
    """The findings of ``check``; a refused or failed request is a finding of its own.

    Raises:
        CredentialsError: which ends all checks.
    """
    try:
        yield from check()
    except NotAllowedError as error:
        yield unknown(about, f"not allowed to read it: {error}", RIGHT)
    except CredentialsError:
        raise
    except NotReadError as error:
        yield unknown(about, str(error))


def inside_a_pod() -> bool:
    """Whether this process runs in a pod, with a service account's token."""
    from kubernetes.config import incluster_config

    return Path(incluster_config.SERVICE_TOKEN_FILENAME).is_file()


def reader_of(namespace: str, context: str | None = None) -> ClusterReader:
    """A reader with the kubeconfig, or in a pod with its account.

    Raises:
        NoClusterError: without either.
    """
    from dgunet.kubeflow.submission import pod_logs

    api: Any = pod_logs.connect(context)
    return ClusterReader(api.api_client, namespace)
