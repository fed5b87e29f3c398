"""Settings that must be a choice of the network's or of the catalogue's, checked without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal

from pydantic_core import PydanticCustomError

from dgunet.network.config import preset
from dgunet.network.structure import FIELDS, check_field
from dgunet.system.errors import ConfigError
from dgunet.system.reading import shorten, shorten_bare
from dgunet.terms import TASKS

OVERRIDES = tuple(
    name for name in FIELDS if name not in ("task", "shared", "channels", "operator", "ratio")
)
"""What a profile may say of its networks; the rest follows from task, variant and ratio."""


def told(text: str, kind: Literal["told", "inner"] = "told") -> PydanticCustomError:
    """An error that names its values itself: of several keys together, or of one within a key."""
    return PydanticCustomError(kind, "{text}", {"text": text})


def check_overrides(network: Mapping[str, Any]) -> None:
    """Refuse what is no field of a network, or not of the field's kind and range.

    Raises:
        PydanticCustomError: naming field, value and range.
    """
    for name, value in network.items():
        if name not in OVERRIDES:
            raise told(_no_field(name), "inner")
        try:
            check_field(name, value)
        except ConfigError as error:
            wanted = error.hint.removeprefix("Use ").removesuffix(".")
            raise told(f"{name} is {shorten(value)}, allowed: {wanted}", "inner") from error


def check_together(
    key: str, network: Mapping[str, Any], variants: Sequence[str], architecture: str
) -> None:
    """Refuse fields that are allowed each for itself and make no network of some task.

    Args:
        key: of ``network`` in the file, for the error.

    Raises:
        PydanticCustomError: naming the task and the reason.
    """
    changes = dict(network)
    for task in TASKS if changes else ():
        ratio = 50 if task == "cs" else None
        for variant in variants:
            try:
                preset(task, variant, architecture=architecture, ratio=ratio, **changes)
            except ConfigError as error:
                why = str(error).removesuffix(".")
                raise told(f"{key} does not fit {task} {variant}: {why}") from error


def check_set(name: str, role: Literal["train", "test"]) -> None:
    """Refuse what is no data set of that role.

    Raises:
        PydanticCustomError: naming what may have been meant.
    """
    from dgunet.data.catalogue.entries import CATALOGUE, FURTHER

    known = [n for n, info in (CATALOGUE | FURTHER).items() if info.role == role]
    if name not in known:
        near = get_close_matches(name, known, n=1)
        kind = "training" if role == "train" else "test"
        raise told(
            f"{shorten(name)} is no {kind} set of `dgunet data list`"
            + (f" (did you mean {near[0]}?)" if near else "")
        )


def _no_field(name: str) -> str:
    if name in FIELDS:
        return f"{name} follows from the task, the variant and the ratio, and is no choice"
    near = get_close_matches(name[:80], OVERRIDES, n=1)
    return f"{shorten_bare(name)} is not a field" + (f" (did you mean {near[0]}?)" if near else "")
