"""Which networks fill a row of the paper's tables: only their results have parity.

Needs no torch: networks are compared by their configurations.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dgunet.network import DGUNetConfig, preset
from dgunet.system.errors import CheckpointError
from dgunet.terms import ARCHITECTURES

FREE_FIELDS = ("proximal_domain", "dormant")
"""Settings that do not decide parity: the published networks have either value of the first, and
the second changes no output."""

ROW_FIELDS = ("task", "variant", "ratio")
"""Settings that weights must share with the row they are evaluated for."""


def published_networks(
    task: str, variant: str, ratio: int | None = None, **changes: Any
) -> list[DGUNetConfig]:
    """Return the networks that a row may stand for: as released, and as the paper describes.

    Args:
        task: "derain", "deblur", "denoise" or "cs".
        variant: "DGUNet" or "DGUNet+".
        ratio: compressive-sensing ratio in percent, or None.
        changes: settings that an ablation replaces.
    """
    return [
        preset(task, variant, architecture=architecture, ratio=ratio, **changes)
        for architecture in ARCHITECTURES
    ]


def is_published(config: DGUNetConfig, published: Sequence[DGUNetConfig]) -> bool:
    """Whether ``config`` equals one of ``published`` in all but the `FREE_FIELDS`."""
    return any(_decisive(config) == _decisive(each) for each in published)


def refuse_another_row(config: DGUNetConfig, wanted: DGUNetConfig, weights: Path) -> None:
    """Refuse a network whose task, variant or ratio are not those of the row.

    Raises:
        CheckpointError: naming the file, the field and both values.
    """
    for field in ROW_FIELDS:
        if getattr(config, field) != getattr(wanted, field):
            raise CheckpointError(
                f"{weights} holds a network with {field} {getattr(config, field)!r}, "
                f"not {getattr(wanted, field)!r}.",
                "Choose weights that were trained for this row.",
            )


def _decisive(config: DGUNetConfig) -> dict[str, Any]:
    return {key: value for key, value in config.to_dict().items() if key not in FREE_FIELDS}
