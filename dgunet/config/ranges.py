"""Types of settings: the exact kind of a value, its range, and the wording of an error.

Values are never converted: ``true``, ``1.0`` and ``"1"`` are not whole numbers, and ``yes`` is not
a truth value. Every range has an upper bound, so that a typing error is refused before it exhausts
the memory.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticCustomError

from dgunet.system.reading import shorten, shorten_bare

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")
"""The name of a dataset, which is never a path."""

SEVERAL: Final = "several"
INNER: Final = "inner"
"""Types of errors whose text names the values itself: of several keys together, or of something
within the key."""


class StrictModel(BaseModel):
    """Base of all settings: immutable, without unknown keys, defaults validated."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def whole(low: int, high: int, *, multiple: int = 1) -> BeforeValidator:
    """A whole number from ``low`` to ``high``, both included; 1.0 and true are refused."""
    kind = "a whole number" if multiple == 1 else f"a multiple of {multiple}"
    allowed = f"{kind} from {low:,} to {high:,}"

    def accepts(value: Any) -> bool:
        return type(value) is int and low <= value <= high and value % multiple == 0

    return _checked(accepts, allowed)


def real(
    low: float, high: float, *, above: bool = False, below: bool = False, unit: str = ""
) -> BeforeValidator:
    """A finite number from ``low`` to ``high``; ``above`` and ``below`` exclude that bound."""
    allowed = (
        f"a number {'above' if above else 'from'} {low:g} {'and below' if below else 'to'} {high:g}"
    )

    def accepts(value: Any) -> bool:
        if type(value) not in (int, float) or not math.isfinite(value):
            return False
        return low <= value <= high and not ((above and value == low) or (below and value == high))

    return _checked(accepts, allowed + (f" {unit}" if unit else ""))


def flag() -> BeforeValidator:
    """``true`` or ``false``; ``yes``, ``1`` and texts are refused."""
    return _checked(lambda value: type(value) is bool, "true or false")


def set_name() -> BeforeValidator:
    """The name of a dataset; anything else, such as a path, is refused."""

    def accepts(value: Any) -> bool:
        return isinstance(value, str) and len(value) <= 64 and bool(NAME.fullmatch(value))

    return _checked(accepts, "a name of `dgunet data list`, and no path")


def _checked(accepts: Callable[[Any], bool], allowed: str) -> BeforeValidator:
    def check(value: Any) -> Any:
        if not accepts(value):
            raise PydanticCustomError("range", "{allowed}", {"allowed": allowed})
        return value

    return BeforeValidator(check)


def setting_error(text: str, kind: Literal["several", "inner"] = SEVERAL) -> PydanticCustomError:
    """An error whose text names key and value itself; ``kind`` is `SEVERAL` or `INNER`."""
    return PydanticCustomError(kind, "{text}", {"text": text})


def explain(entry: Any, names: Sequence[str]) -> str:
    """One of pydantic's errors as part of a line: the key, the value and what is allowed.

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


def field_names(model: type[BaseModel], *others: type[BaseModel]) -> list[str]:
    """The names of all fields of the models."""
    return [name for each in (model, *others) for name in each.model_fields]
