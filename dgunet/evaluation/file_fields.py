"""Check of the fields of a JSON record; the first fault becomes an error of one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from dgunet.system.errors import DgunetError, EvaluationError
from dgunet.system.reading import shorten

Form = TypeVar("Form", bound=BaseModel)


def check_fields(
    form: type[Form],
    content: Mapping[str, Any],
    origin: str,
    *,
    hint: str,
    kind: type[DgunetError] = EvaluationError,
) -> Form:
    """Check the types and ranges of ``content`` against ``form``.

    Args:
        form: the fields with their types and ranges.
        content: values by name, as read from a file.
        origin: source of the content, named in errors.
        hint: what to do about an error.
        kind: class of the error.

    Raises:
        DgunetError: of ``kind``, naming ``origin``, the first wrong field and its value.
    """
    try:
        return form.model_validate(dict(content))
    except ValidationError as error:
        first = error.errors()[0]
        field = shorten(str(first["loc"][0]))[1:-1]
        value = "" if first["type"] == "missing" else f" is {shorten(first['input'])}"
        raise kind(f"{origin}: {field}{value}: {first['msg']}.", hint) from error
