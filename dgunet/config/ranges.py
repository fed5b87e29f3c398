"""Types of settings: the exact type of a value, its range, and the wording of errors.

Values are never converted: ``true``, ``1.0`` and ``"1"`` are not whole numbers, and ``yes`` is not
a boolean. Every range has an upper bound, so that a typing error is refused before it exhausts the
memory.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import PydanticCustomError

from dgunet.system.reading import shorten, shorten_bare

MOST_FAULTS = 5
"""Largest number of faults of a file that an error lists."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")
"""Pattern of the name of a dataset, which is never a path."""

SEVERAL: Final = "several"
INNER: Final = "inner"
"""Types of errors whose text already contains the value: of several keys in combination, or of a
value within the key."""


class StrictModel(BaseModel):
    """Base class of all settings: immutable, no unknown keys, validated defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def whole(low: int, high: int, *, multiple: int = 1) -> BeforeValidator:
    """Accept a whole number from ``low`` to ``high``, both included; refuse 1.0 and true."""
    kind = "a whole number" if multiple == 1 else f"a multiple of {multiple}"
    allowed = f"{kind} from {low:,} to {high:,}"

    def accepts(value: Any) -> bool:
        return type(value) is int and low <= value <= high and value % multiple == 0

    return _checked(accepts, allowed)


def real(
    low: float, high: float, *, above: bool = False, below: bool = False, unit: str = ""
) -> BeforeValidator:
    """Accept a finite number from ``low`` to ``high``.

    ``above`` excludes the lower bound and ``below`` the upper one. ``unit`` is shown in errors.
    """
    allowed = (
        f"a number {'above' if above else 'from'} {low:g} {'and below' if below else 'to'} {high:g}"
    )

    def accepts(value: Any) -> bool:
        if type(value) not in (int, float) or not math.isfinite(value):
            return False
        return low <= value <= high and not ((above and value == low) or (below and value == high))

    return _checked(accepts, allowed + (f" {unit}" if unit else ""))


def flag() -> BeforeValidator:
    """Accept ``true`` or ``false``; refuse ``yes``, ``1`` and strings."""
    return _checked(lambda value: type(value) is bool, "true or false")


def set_name() -> BeforeValidator:
    """Accept the name of a dataset; refuse anything else, such as a path."""

    def accepts(value: Any) -> bool:
        return isinstance(value, str) and len(value) <= 64 and bool(NAME.fullmatch(value))

    return _checked(accepts, "a name from `dgunet data list`, not a path")


def _checked(accepts: Callable[[Any], bool], allowed: str) -> BeforeValidator:
    def check(value: Any) -> Any:
        if not accepts(value):
            raise PydanticCustomError("range", "{allowed}", {"allowed": allowed})
        return value

    return BeforeValidator(check)


def setting_error(text: str, kind: Literal["several", "inner"] = SEVERAL) -> PydanticCustomError:
    """Return an error whose text contains the value; ``kind`` is `SEVERAL` or `INNER`."""
    return PydanticCustomError(kind, "{text}", {"text": text})


def explain(entry: Any, names: Sequence[str]) -> str:
    """Format one of pydantic's errors as part of a line: key, value and what is allowed.

    Args:
        entry: an element of ``ValidationError.errors()``.
        names: names of all fields, to suggest one for a misspelt key.
    """
    key = ".".join(
        shorten_bare(part) if isinstance(part, str) else str(part) for part in entry["loc"]
    )
    if entry["type"] == "extra_forbidden":
        near = get_close_matches(str(entry["loc"][-1])[:80], names, n=1)
        return f"{key} is not a parameter" + (f" (did you mean {near[0]}?)" if near else "")
    if entry["type"] == "missing":
        return f"{key} is missing"
    allowed = str(entry["msg"]).removeprefix("Input should be ").removeprefix("Value error, ")
    if not key:
        return allowed
    if entry["type"] == SEVERAL:
        return f"{key}: {allowed}"
    if entry["type"] == INNER:
        return f"{key}.{allowed}"
    return f"{key} is {shorten(entry['input'])}, allowed: {allowed}"


def joined_faults(error: ValidationError, explained: Callable[[Any], str]) -> str:
    """Join the first `MOST_FAULTS` of pydantic's errors to one line, and count the others.

    Args:
        error: with at least one error.
        explained: the text of an element of ``error.errors()``.
    """
    faults = error.errors()
    lines = "; ".join(explained(entry) for entry in faults[:MOST_FAULTS])
    return lines + (f"; and {len(faults) - MOST_FAULTS} more" if faults[MOST_FAULTS:] else "")


def field_names(model: type[BaseModel], *others: type[BaseModel]) -> list[str]:
    """Return the names of all fields of the models."""
    return [name for each in (model, *others) for name in each.model_fields]
