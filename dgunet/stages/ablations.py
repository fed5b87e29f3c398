"""The nine networks of Tables 5 and 6, as changes of DGUNet+ (Section 4.6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dgunet.errors import ConfigError
from dgunet.stages.layout import EXPERIMENTS

VARIANT = "DGUNet+"
"""All modifications are made on DGUNet+ (Section 4.6)."""

TEST_SET = "Rain100H"


@dataclass(frozen=True)
class Ablation:
    """One modified DGUNet+: the fields of its configuration that differ, and its table."""

    changes: dict[str, Any]
    table: int

    @property
    def experiment(self) -> str:
        """The MLflow experiment whose runs it is compared with."""
        return EXPERIMENTS["stages-and-scales" if self.table == 5 else "components"]


ABLATIONS = {
    "stages-9": Ablation({"stages": 9}, 5),
    "stages-7": Ablation({}, 5),
    "stages-5": Ablation({"stages": 5}, 5),
    "stages-3": Ablation({"stages": 3}, 5),
    "scales-2": Ablation({"fusion_scales": 2}, 5),
    "scales-1": Ablation({"fusion_scales": 1}, 5),
    "without-fgdm": Ablation({"gradient": False}, 6),
    "without-sp": Ablation({"fusion": "addition"}, 6),
    "without-isff": Ablation({"fusion": "none"}, 6),
}
"""``stages-7`` is the unmodified DGUNet+: seven stages, three scales, in both tables."""


def ablation(name: str) -> Ablation:
    """The ablation called ``name``.

    Raises:
        ConfigError: for an unknown name; the message lists the nine.
    """
    if name not in ABLATIONS:
        raise ConfigError(f"unknown ablation {name!r}.", f"Ablations are: {', '.join(ABLATIONS)}.")
    return ABLATIONS[name]
