"""Strict validation by a CRD: unknown fields are errors, and CEL rules are evaluated."""

from __future__ import annotations

import functools
import importlib.util

import yaml
from jsonschema import Draft202012Validator

KEPT = {"type", "enum", "pattern", "minLength", "maxLength", "minItems", "maxItems", "minimum",
        "maximum", "required", "minProperties", "anyOf", "format"}  # fmt: skip


class Crd:
    """The first version of the CRD in ``path``; metadata, defined by Kubernetes, is not checked."""

    def __init__(self, path):
        content = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)
        self._schema = content["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        strict = strictly(self._schema)
        strict["properties"]["metadata"] = {"type": "object"}
        strict["required"] = ["apiVersion", "kind", "metadata", "spec"]
        self._validator = Draft202012Validator(strict)

    def errors(self, thing):
        """Return the errors in ``thing``, each with its path."""
        found = [
            f"{'.'.join(map(str, error.path))}: {error.message}"
            for error in self._validator.iter_errors(thing)
        ]
        if importlib.util.find_spec("celpy") is not None:
            found += broken_rules(self._schema, thing)
        return found


def strictly(schema):
    """Convert a structural schema to a JSON schema that forbids additional fields."""
    made = {key: value for key, value in schema.items() if key in KEPT}
    if schema.get("x-kubernetes-int-or-string"):
        made = {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    if "properties" in schema:
        made["properties"] = {name: strictly(part) for name, part in schema["properties"].items()}
        made["additionalProperties"] = False
    elif isinstance(schema.get("additionalProperties"), dict):
        made["additionalProperties"] = strictly(schema["additionalProperties"])
    elif schema.get("x-kubernetes-preserve-unknown-fields"):
        made.pop("additionalProperties", None)
    if "items" in schema:
        made["items"] = strictly(schema["items"])
    if schema.get("nullable"):
        made = {"anyOf": [made, {"type": "null"}]}
    return made


def broken_rules(schema, thing, path=""):
    """Return the messages of the CEL rules that do not hold; rules on updates are skipped."""
    found = []
    for rule in schema.get("x-kubernetes-validations", []):
        if "oldSelf" not in rule["rule"] and not holds(rule["rule"], thing):
            found.append(f"{path}: {rule.get('message', rule['rule'])}")
    if isinstance(thing, dict):
        for name, value in thing.items():
            inner = schema.get("properties", {}).get(name) or schema.get("additionalProperties")
            if isinstance(inner, dict):
                found += broken_rules(inner, value, f"{path}.{name}".lstrip("."))
    elif isinstance(thing, list):
        for number, value in enumerate(thing):
            found += broken_rules(schema.get("items", {}), value, f"{path}[{number}]")
    return found


@functools.cache
def program(rule):
    import celpy

    environment = celpy.Environment()
    return environment.program(environment.compile(rule))


def holds(rule, thing):
    import celpy

    return bool(program(rule).evaluate({"self": celpy.json_to_cel(thing)}))
