"""Strict variants of generated Kubernetes models: unknown fields and wrong types are errors.

The models of ``kubeflow_trainer_api`` are generated from the API's OpenAPI document. They ignore
unknown fields and carry neither patterns nor ranges, so a misspelled field would be lost silently.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

Model = type[BaseModel]

STRICT = ConfigDict(
    extra="forbid", frozen=True, strict=True, populate_by_name=False, protected_namespaces=()
)


@dataclass(frozen=True)
class Constraints:
    """What the API server checks beyond the fields and types of the generated models.

    Attributes:
        scalars: types that replace a generated wrapper class, such as that of a quantity.
        types: narrower types by model and field (Python name); a type without ``None`` makes the
            field required.
        known: the only fields that are accepted, by model; without an entry all fields are.
        checks: functions by model that raise ``ValueError`` for contradicting fields.
    """

    scalars: Mapping[Model, Any] = field(default_factory=dict)
    types: Mapping[Model, Mapping[str, Any]] = field(default_factory=dict)
    known: Mapping[Model, tuple[str, ...]] = field(default_factory=dict)
    checks: Mapping[Model, Callable[[Any], None]] = field(default_factory=dict)


class StrictModels:
    """Derives the strict variant of generated models, each one once."""

    def __init__(self, constraints: Constraints) -> None:
        self._constraints = constraints
        self._made: dict[Model, Model] = {}

    def of(self, model: Model) -> Model:
        """The strict variant of ``model`` and of every model in its fields.

        Fields have the API's names (``numNodes``), not Python names.
        """
        if model not in self._made:
            self._made[model] = self._derive(model)
        return self._made[model]

    def _derive(self, model: Model) -> Model:
        narrower = self._constraints.types.get(model, {})
        known = self._constraints.known.get(model)
        if unknown := {*narrower, *(known or ())} - set(model.model_fields):
            raise TypeError(f"{model.__name__} has no fields {sorted(unknown)}: adapt Constraints")
        fields: dict[str, Any] = {}
        for name, info in model.model_fields.items():
            if known is not None and name not in known:
                continue
            kind = narrower.get(name, info.annotation)
            default = None if NoneType in get_args(kind) else ...
            fields[name] = (self._strict(kind), Field(default=default, alias=info.alias or name))
        check = self._constraints.checks.get(model)
        validators: dict[str, Any] = (
            {"check": model_validator(mode="after")(_returning(check))} if check else {}
        )
        with warnings.catch_warnings():  # a field may have the name of a method of pydantic's
            warnings.filterwarnings("ignore", message=".* shadows an attribute", append=False)
            derived: Model = create_model(
                model.__name__, __config__=STRICT, __validators__=validators, **fields
            )
        return derived

    def _strict(self, annotation: Any) -> Any:
        """``annotation`` with strict variants in place of generated models."""
        if annotation in self._constraints.scalars:
            return self._constraints.scalars[annotation]
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return self.of(annotation)
        origin, inner = get_origin(annotation), get_args(annotation)
        if origin in (Union, UnionType):
            return reduce(operator.or_, map(self._strict, inner))
        if origin is Annotated:
            return Annotated[(self._strict(inner[0]), *inner[1:])]
        if origin in (list, dict):
            return origin[tuple(map(self._strict, inner))]
        return annotation


def _returning(check: Callable[[Any], None]) -> Callable[[Any], Any]:
    """``check`` in the form of a pydantic validator, which returns the validated object."""

    def validator(self: Any) -> Any:
        check(self)
        return self

    return validator
