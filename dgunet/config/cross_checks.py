"""Checks of settings against the network and the dataset catalogue, without importing torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal

from dgunet.config.ranges import INNER, setting_error
from dgunet.network.config import preset
from dgunet.network.structure import FIELDS, check_field
from dgunet.system.errors import ConfigError
from dgunet.system.reading import shorten, shorten_bare
from dgunet.terms import TASKS

OVERRIDES = tuple(
    name for name in FIELDS if name not in ("task", "shared", "channels", "operator", "ratio")
)
"""Fields of a network that a profile may set; task, variant and ratio determine the others."""


def check_overrides(network: Mapping[str, Any]) -> None:
    """Refuse unknown fields of a network and values of the wrong type or out of range.

    Raises:
        PydanticCustomError: if there is one; the message names field, value and range.
    """
    for name, value in network.items():
        if name not in OVERRIDES:
            raise setting_error(_unknown_field(name), INNER)
        try:
            check_field(name, value)
        except ConfigError as error:
            allowed = error.hint.removeprefix("Use ").removesuffix(".")
            raise setting_error(f"{name} is {shorten(value)}, allowed: {allowed}", INNER) from error


def check_together(
    key: str, network: Mapping[str, Any], variants: Sequence[str], architecture: str
) -> None:
    """Refuse fields that are valid individually but in combination give no network for some task.

    Args:
        key: the key of ``network`` in the file, for the error.
        network: the fields that replace those of the architecture's preset.
        variants: DGUNet, DGUNet+ or both.
        architecture: released or paper.

    Raises:
        PydanticCustomError: if they do; the message names the task and the reason.
    """
    changes = dict(network)
    for task in TASKS if changes else ():
        ratio = 50 if task == "cs" else None
        for variant in variants:
            try:
                preset(task, variant, architecture=architecture, ratio=ratio, **changes)
            except ConfigError as error:
                reason = str(error).removesuffix(".")
                raise setting_error(f"{key} does not fit {task} {variant}: {reason}") from error


def check_set(name: str, role: Literal["train", "test"]) -> None:
    """Check that the catalogue has a dataset called ``name`` with that role.

    Raises:
        PydanticCustomError: if it has none; the message suggests the most similar name.
    """
    from dgunet.data.catalogue.entries import CATALOGUE, FURTHER

    known = [n for n, info in (CATALOGUE | FURTHER).items() if info.role == role]
    if name not in known:
        near = get_close_matches(name, known, n=1)
        kind = "training" if role == "train" else "test"
        raise setting_error(
            f"{shorten(name)} is not a {kind} set of `dgunet data list`"
            + (f" (did you mean {near[0]}?)" if near else "")
        )


def _unknown_field(name: str) -> str:
    if name in FIELDS:
        return f"{name} follows from the task, the variant and the ratio and cannot be set"
    near = get_close_matches(name[:80], OVERRIDES, n=1)
    return f"{shorten_bare(name)} is not a field" + (f" (did you mean {near[0]}?)" if near else "")
