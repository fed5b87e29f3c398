"""The modes of tracking: when a run is sent to MLflow."""

from __future__ import annotations

from typing import Literal, get_args

from dgunet.system.errors import ConfigError
from dgunet.system.reading import shorten

Mode = Literal["now", "later", "share", "off"]


def tracking_mode(name: str, default: Mode) -> Mode:
    """The mode ``name``, a value of ``DGUNET_TRACKING``; ``default`` if it is empty.

    Raises:
        ConfigError: if ``name`` is not a mode.
    """
    named = name or default
    modes: tuple[Mode, ...] = get_args(Mode)
    for mode in modes:
        if named == mode:
            return mode
    raise ConfigError(
        f"DGUNET_TRACKING={shorten(named)} is not a tracking mode.",
        f"Use one of {', '.join(modes)}.",
    )
