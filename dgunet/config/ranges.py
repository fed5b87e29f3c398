"""Numbers and names in settings: their exact kind, their range, and what is wrong in words.

Nothing is converted: ``true``, ``1.0`` and ``"1"`` are no whole numbers, ``yes`` is no truth value.
Every range has an upper end, so that a slip of the keyboard is refused before it fills the memory.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, BeforeValidator
from pydantic_core import PydanticCustomError

from dgunet.system.reading import shorten, shorten_bare

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")
"""The name of a data set: never a path."""


def whole(low: int, high: int, *, multiple: int = 1) -> BeforeValidator:
    """A whole number from ``low`` to ``high``, both allowed; 1.0 and true are none."""
    kind = "a whole number" if multiple == 1 else f"a multiple of {multiple}"
    wanted = f"{kind} from {low:,} to {high:,}"

    def good(value: Any) -> bool:
        return type(value) is int and low <= value <= high and value % multiple == 0

    return _checked(good, wanted)


def real(
    low: float, high: float, *, above: bool = False, below: bool = False, unit: str = ""
) -> BeforeValidator:
    """A number from ``low`` to ``high``; ``above`` and ``below`` leave that end out."""
    wanted = (
        f"a number {'above' if above else 'from'} {low:g} {'and below' if below else 'to'} {high:g}"
    )

    def good(value: Any) -> bool:
        if type(value) not in (int, float) or not math.isfinite(value):
            return False
        return low <= value <= high and not ((above and value == low) or (below and value == high))

    return _checked(good, wanted + (f" {unit}" if unit else ""))


def flag() -> BeforeValidator:
    """``true`` or ``false``, and not ``yes``, ``1`` or a text."""
    return _checked(lambda value: type(value) is bool, "true or false")


def set_name() -> BeforeValidator:
    """The name of a data set; what is no name, such as a path, is refused here."""

    def good(value: Any) -> bool:
        return isinstance(value, str) and len(value) <= 64 and bool(NAME.fullmatch(value))

    return _checked(good, "a name of `dgunet data list`, and no path")


def _checked(good: Callable[[Any], bool], wanted: str) -> BeforeValidator:
    def check(value: Any) -> Any:
        if not good(value):
            raise PydanticCustomError("range", "{wanted}", {"wanted": wanted})
        return value

    return BeforeValidator(check)


def explain(entry: Any, names: Sequence[str]) -> str:
    """One of pydantic's errors as part of a line: the key, the value, what is allowed.

    Args:
        entry: of ``ValidationError.errors()``.
        names: of all fields, to find what a misspelt one may have meant.
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
    if entry["type"] == "told":  # by a check of several keys, which names the values itself
        return f"{key}: {allowed}"
    if entry["type"] == "inner":  # by a check of what is within the key
        return f"{key}.{allowed}"
    return f"{key} is {shorten(entry['input'])}, allowed: {allowed}"


def field_names(model: type[BaseModel], *others: type[BaseModel]) -> list[str]:
    """The names of all fields of some models."""
    return [name for each in (model, *others) for name in each.model_fields]
