"""Configuration of a DGUNet: the checked dataclass, and the presets of the paper and its code."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dgunet.network.size import count_parameters
from dgunet.network.structure import FIELDS, NetworkStructure
from dgunet.system.errors import ConfigError
from dgunet.system.reading import shorten_bare
from dgunet.terms import ARCHITECTURES, TASKS, VARIANTS

PARAMETERS = 1_000_000_000
"""Largest number of parameters (4 GB in float32); the paper's largest network has 70 million."""


@dataclass(frozen=True)
class DGUNetConfig(NetworkStructure):
    """The configuration of one network; equal configurations build networks of equal structure.

    Raises:
        ConfigError: if a field has a value outside its choices or range, or the network would
            have more than `PARAMETERS` parameters.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if (count := count_parameters(self)) > PARAMETERS:
            raise ConfigError(
                f"n_feat={self.n_feat}, scale={self.scale}, stages={self.stages} make a network of"
                f" {count:,} parameters.",
                f"Use smaller widths or fewer stages; at most {PARAMETERS:,} are allowed.",
            )

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as JSON-compatible values, in the order of declaration."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DGUNetConfig:
        """Return the configuration that :meth:`to_dict` wrote.

        Args:
            values: every field by its name, and nothing else.

        Raises:
            ConfigError: if fields are missing, unknown or have a value that is not allowed.
        """
        if missing := sorted(set(FIELDS) - set(values)):
            raise ConfigError(f"network config lacks {', '.join(missing)}.", "Add these fields.")
        _known(values)
        return cls(**values)


def _known(values: Mapping[str, Any]) -> None:
    if unknown := sorted(set(values) - set(FIELDS)):
        raise ConfigError(
            f"network config has no field {shorten_bare(', '.join(unknown))}.",
            f"The fields are {', '.join(FIELDS)}.",
        )


_WIDTHS: dict[tuple[str, bool], tuple[int, int, int]] = {
    ("derain", True): (40, 20, 16),
    ("derain", False): (40, 20, 16),
    ("deblur", True): (80, 48, 32),
    ("deblur", False): (96, 48, 32),
    ("denoise", True): (80, 48, 32),
    ("denoise", False): (80, 40, 32),
    ("cs", True): (32, 16, 16),
    ("cs", False): (32, 16, 16),
}
"""(n_feat, scale, last_width) of the released code; the paper states no widths."""

_PAPER: dict[str, Any] = {
    "gradient_activation": "relu",
    "downsample": "max-pool",
    "upsample": "bilinear",
    "encoder_norm": "none",
    "residual_block": "plain",
    "decoder_merge": "add",
    "sam_attention": True,
    "injection": "projection",
    "last_injection": "projection",
    "last_stage": "full",
    "last_skip": "gradient-step",
    "fusion": "spatial",
    "fusion_kernel": 1,
    "fusion_activation": "none",
    "fusion_gain": "linear",
    "prelu_sharing": "none",
    "dormant": False,
}
"""The network that the text of Section 3 describes; it is the same for every task."""


def _released(task: str, shared: bool) -> dict[str, Any]:
    """Return the choices of the released code that depend on the task or the variant."""
    if task == "cs":
        return {
            "sam_attention": True,
            "injection": "concatenate",
            "last_injection": "concatenate",
            "last_skip": "gradient-step",
            "fusion": "addition",
            "prelu_sharing": "outer",
            "dormant": True,
        }
    return {
        "last_injection": "concatenate" if shared else "projection",
        "prelu_sharing": "outer" if shared else "all",
        "dormant": shared,
    }


def preset(
    task: str,
    variant: str = "DGUNet",
    *,
    architecture: str = "released",
    ratio: int | None = None,
    **overrides: Any,
) -> DGUNetConfig:
    """Return the configuration of a network of the paper, optionally with changed fields.

    Args:
        task: "derain", "deblur", "denoise" or "cs".
        variant: "DGUNet" (shared middle stages) or "DGUNet+" (independent stages).
        architecture: "released" (as the authors' code builds it) or "paper" (as the text
            describes it).
        ratio: sampling ratio in percent, one of `RATIOS`; required for "cs", not allowed for the
            other tasks.
        overrides: any field of :class:`DGUNetConfig`, such as ``n_feat=8, scale=4, stages=3``
            for a tiny network or ``fusion="addition"`` for an ablation.

    Raises:
        ConfigError: for an unknown task, variant, architecture or field, a missing ratio, or a
            value that is not allowed.
    """
    _choose("task", task, TASKS)
    _choose("variant", variant, VARIANTS)
    _choose("architecture", architecture, ARCHITECTURES)
    if task == "cs" and ratio is None:
        raise ConfigError("task cs needs a ratio.", "Pass a ratio, for example ratio=10.")
    _known(overrides)
    shared = variant == "DGUNet"
    n_feat, scale, last_width = _WIDTHS[task, shared]
    values: dict[str, Any] = {
        "task": task,
        "shared": shared,
        "n_feat": n_feat,
        "scale": scale,
        "last_width": last_width,
        "channels": 1 if task == "cs" else 3,
        "operator": "block-sampling" if task == "cs" else "learned",
        "ratio": ratio,
    }
    values |= _released(task, shared) if architecture == "released" else _PAPER
    return DGUNetConfig(**(values | overrides))


def _choose(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{name} {value!r} is unknown.", f"Use one of {', '.join(choices)}.")
