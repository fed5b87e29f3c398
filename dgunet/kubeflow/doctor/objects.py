"""Checks of the objects that a run refers to: secrets and volume claims."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kubernetes.utils.quantity import parse_quantity

from dgunet.kubeflow.cluster.settings import Cluster, Secret, Volume
from dgunet.kubeflow.doctor.findings import Finding, ok, problem, warning
from dgunet.kubeflow.doctor.reading import ClusterReader, MissingError

MANY = "ReadWriteMany"


def check_secret(reader: ClusterReader, secret: Secret) -> Iterator[Finding]:
    """Whether a secret exists and has the keys; no value is kept or shown."""
    about = f"secret {secret.name}"
    try:
        found = reader.own(f"secrets/{secret.name}")
    except MissingError:
        if secret.optional:
            yield ok(about, "there is none; it is optional")
            return
        keys = " ".join(f"--from-literal={key}=..." for key in secret.keys)
        hint = (
            f"kubectl -n {reader.namespace} create secret generic {secret.name} {keys}, or remove"
            " it from secrets: in the cluster file."
        )
        yield problem(about, f"there is none in {reader.namespace}", hint)
        return
    known = sorted(found.get("data") or {})
    if lacking := [key for key in secret.keys if key not in known]:
        text = f"it lacks {', '.join(lacking)}; it has {', '.join(known) or 'no keys'}"
        hint = "Correct the keys in the secret, or under secrets: in the cluster file."
        # Kubernetes starts no container whose variable comes from a missing key, unless it is
        # optional.
        yield warning(about, text, hint) if secret.optional else problem(about, text, hint)
        return
    yield ok(about, f"has {', '.join(secret.keys)}")


def check_pull_secret(reader: ClusterReader, name: str) -> Iterator[Finding]:
    """Whether a secret is one with registry credentials."""
    about = f"pull secret {name}"
    try:
        kind = reader.own(f"secrets/{name}").get("type")
    except MissingError:
        hint = f"kubectl -n {reader.namespace} create secret docker-registry {name} ..."
        yield problem(about, f"there is none in {reader.namespace}", hint)
        return
    if kind not in ("kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg"):
        hint = "Make it with kubectl create secret docker-registry."
        yield problem(about, f"it has the type {kind}, not that of registry credentials", hint)
    else:
        yield ok(about, "exists")


def check_claim(reader: ClusterReader, cluster: Cluster, volume: Volume) -> Iterator[Finding]:
    """Whether a claim exists, is as large as the cluster file says, and can be shared by pods."""
    about = f"claim {volume.claim}"
    try:
        claim = reader.own(f"persistentvolumeclaims/{volume.claim}")
    except MissingError:
        hint = "Apply deploy/components/volume (deploy/README.md), or correct volumes: claim."
        yield problem(about, f"there is none in {reader.namespace}", hint)
        return
    spec, status = claim["spec"], claim.get("status", {})
    requested = spec.get("resources", {}).get("requests", {}).get("storage", "0")
    size = status.get("capacity", {}).get("storage") or requested
    modes, phase = status.get("accessModes") or spec.get("accessModes", []), status.get("phase")
    text = f"{size}, {', '.join(modes)}, {phase}"
    if phase == "Lost":
        yield problem(about, f"its volume is lost ({text})", "Make the claim anew.")
    elif volume.size and parse_quantity(size) < parse_quantity(volume.size):
        hint = "Enlarge the claim, or correct size: under volumes: in the cluster file."
        yield problem(about, f"it has {size}, the cluster file says {volume.size}", hint)
    elif MANY not in modes:
        yield _not_shared(about, text, cluster)
    elif phase == "Pending":
        hint = "If it does not wait for its first pod, its storage class may not exist."
        yield warning(about, f"not bound yet ({text})", hint)
    else:
        yield ok(about, text)


def _not_shared(about: str, text: str, cluster: Cluster) -> Finding:
    """The finding for a claim that only pods of one node can mount."""
    hint = f"Use a storage class with {MANY} (NFS, CephFS, a managed file store)."
    if cluster.trainer is not None and cluster.trainer.nodes > 1:
        return problem(about, f"the nodes of a training cannot share it ({text})", hint)
    return warning(about, f"only pods of one node can use it at a time ({text})", hint)


def registry_logins(reader: ClusterReader, cluster: Cluster) -> list[dict[str, Any]]:
    """The data of the pull secrets, which hold the credentials of registries."""
    return [reader.own(f"secrets/{name}").get("data") or {} for name in cluster.pull_secrets]
