"""Strict validation of Kubernetes objects: unknown fields, wrong types, and missing fields.

Fields and types are those of the models of the packages kubernetes and kubeflow_trainer_api. Kueue
has no such package: its fields that are used here are listed from its API v1beta2.
"""

import re

from kubeflow_trainer_api import models as trainer
from kubernetes import client
from kubernetes.utils.quantity import parse_quantity

from dgunet.kubeflow.trainer.strict_models import Constraints, StrictModels

PLAIN = {"str": str, "int": int, "bool": bool, "float": (int, float)}
STRICT = StrictModels(Constraints(scalars={trainer.IoK8sApimachineryPkgApiResourceQuantity: str}))
API = {
    "v1": "", "apps/v1": "", "rbac.authorization.k8s.io/v1": "", "networking.k8s.io/v1": "",
}  # fmt: skip
RENAMED = {"V1Subject": "RbacV1Subject"}

KUEUE = {
    "ResourceFlavor": {},
    "LocalQueue": {"clusterQueue": str},
    "ClusterQueue": {
        "namespaceSelector": dict,
        "resourceGroups": [
            {
                "coveredResources": [str],
                "flavors": [{"name": str, "resources": [{"name": str, "nominalQuota": str}]}],
            }
        ],
    },
}


def faults(thing):
    """The faults of an object, each with its path."""
    version, kind = thing.get("apiVersion"), thing.get("kind")
    if version == "trainer.kubeflow.org/v1alpha1":
        STRICT.of(getattr(trainer, f"TrainerV1alpha1{kind}")).model_validate(thing)
        return []
    if version == "kueue.x-k8s.io/v1beta2":
        if not thing.get("metadata", {}).get("name"):
            return ["metadata.name is missing"]
        return _unlike(thing.get("spec", {}), KUEUE[kind], "spec")
    if version not in API or not hasattr(client, f"V1{kind}"):
        return [f"unknown kind {version} {kind}"]
    return list(_faults(thing, f"V1{kind}", kind))


def _unlike(content, form, path):
    if isinstance(form, type):
        return [] if isinstance(content, form) else [f"{path} is {content!r}"]
    if isinstance(form, list):
        if not isinstance(content, list):
            return [f"{path} is no list"]
        return [fault for each in content for fault in _unlike(each, form[0], f"{path}[]")]
    found = [f"{path}.{name} is unknown" for name in set(content) - set(form)]
    found += [f"{path}.{name} is missing" for name in set(form) - set(content)]
    for name in set(form) & set(content):
        found += _unlike(content[name], form[name], f"{path}.{name}")
    return found


def _faults(content, kind, path):
    """The faults of ``content``, which should be of the type ``kind`` of the client."""
    if kind in PLAIN:
        if not isinstance(content, PLAIN[kind]) or (kind == "int" and isinstance(content, bool)):
            yield f"{path} is {content!r}, not {kind}"
    elif kind == "object":  # a number or a name, such as a port
        if not isinstance(content, (int, str)):
            yield f"{path} is {content!r}"
    elif found := re.fullmatch(r"list\[(.*)\]", kind):
        if not isinstance(content, list):
            yield f"{path} is no list"
            return
        for number, each in enumerate(content):
            yield from _faults(each, found[1], f"{path}[{number}]")
    elif found := re.fullmatch(r"dict\(str, (.*)\)", kind):
        for name, each in content.items():
            yield from _faults(each, found[1], f"{path}.{name}")
            if path.rpartition(".")[2] in ("requests", "limits", "hard", "default"):
                parse_quantity(each)
    else:
        yield from _of_model(content, RENAMED.get(kind, kind), path)


def _of_model(content, kind, path):
    model = getattr(client, kind)
    if not isinstance(content, dict):
        yield f"{path} is {content!r}, not {kind}"
        return
    names = {name: attribute for attribute, name in model.attribute_map.items()}
    for name, value in content.items():
        if name not in names:
            yield f"{path}.{name} is unknown"
            continue
        yield from _faults(value, model.openapi_types[names[name]], f"{path}.{name}")
    try:
        model(**{names[name]: value for name, value in content.items() if name in names})
    except ValueError as error:  # a required field is missing
        yield f"{path}: {error}"
