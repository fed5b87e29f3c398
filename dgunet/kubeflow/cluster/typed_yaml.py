"""Typed YAML whose errors name the path of the field, the value and what is allowed."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from dgunet.config.ranges import joined_faults
from dgunet.system.errors import ConfigError
from dgunet.system.reading import shorten, shorten_bare

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
"""A DNS label, the form of most names in Kubernetes."""

Subdomain = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)
]
Quantity = Annotated[str, StringConstraints(pattern=r"^\d+(\.\d+)?(m|k|[KMGTPE]i?)?$")]
"""An amount in the notation of Kubernetes: 4, 500m, 64Gi."""

EnvironmentName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
MountPath = Annotated[str, StringConstraints(pattern=r"^/.+$")]

Model = TypeVar("Model", bound=BaseModel)


class Strict(BaseModel):
    """A model that refuses unknown fields and values of another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


def checked(model: type[Model], content: Any, origin: str) -> Model:
    """``content`` as a ``model``; ``origin`` is named in errors.

    Raises:
        ConfigError: naming the invalid fields with their paths.
    """
    if not isinstance(content, dict):
        raise ConfigError(f"{origin} contains {shorten(content)}, not a mapping of fields.")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        faults = joined_faults(error, lambda entry: _explain(model, entry))
        raise ConfigError(f"{origin}: {faults}.") from error


def _explain(model: type[BaseModel], entry: Any) -> str:
    path = "".join(
        f"[{part}]" if isinstance(part, int) else f".{shorten_bare(part)}" for part in entry["loc"]
    )
    path = path.lstrip(".")
    if entry["type"] == "value_error":  # of a whole block; its content may be secret
        return f"{path}: {entry['ctx']['error']}" if path else str(entry["ctx"]["error"])
    if entry["type"] == "extra_forbidden":
        near = get_close_matches(str(entry["loc"][-1])[:80], sorted(_fields(model, set())), n=1)
        return f"{path} is not a field" + (f" (did you mean {near[0]}?)" if near else "")
    if entry["type"] == "missing":
        return f"{path} is missing"
    allowed = str(entry["msg"]).removeprefix("Input should be ")
    return f"{path} is {shorten(entry['input'])}, allowed: {allowed}"


def _fields(model: type[BaseModel], seen: set[type]) -> set[str]:
    """The names of all fields of ``model`` and of the models in it."""
    if model in seen:
        return set()
    seen.add(model)
    names = {field.alias or name for name, field in model.model_fields.items()}
    for field in model.model_fields.values():
        for part in _models(field.annotation):
            names |= _fields(part, seen)
    return names


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in getattr(annotation, "__args__", ()) for found in _models(part)]
