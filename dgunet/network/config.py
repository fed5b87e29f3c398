"""What a DGUNet is made of: one frozen dataclass, and the presets of the paper and of its code.

Every place where the paper's text and the released code differ is one field here; the table
``dgunet.network.errata.ERRATA`` names the field of each difference.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_type_hints

from dgunet.network.size import count_parameters
from dgunet.system.errors import ConfigError
from dgunet.system.reading import shorten
from dgunet.terms import ARCHITECTURES, TASKS, VARIANTS, Task, Variant

RATIOS = (1, 4, 10, 25, 30, 40, 50)
"""Sampling ratios in percent that the released code knows; the paper reports 1, 4, 10, 25, 50."""

RANGES = {
    "n_feat": (1, 4096),
    "scale": (1, 4096),
    "last_width": (1, 4096),
    "stages": (2, 64),
    "channels": (1, 64),
    "gradient_width": (1, 4096),
    "block": (1, 256),
    "fusion_scales": (1, 3),
}
"""Smallest and largest value of every width and number."""

PARAMETERS = 1_000_000_000
"""A network has at most so many parameters, 4 GB; the paper's largest has 70 million."""


@dataclass(frozen=True)
class DGUNetConfig:
    """The structure of one network; equal configs build networks with equal parameters.

    Widths: the full-resolution features have ``n_feat`` channels, and encoder scale ``i``
    (0 = full resolution) has ``n_feat + (i + 1) * scale``.

    Raises:
        ConfigError: if a field has a value outside its choices or range.
    """

    task: Task
    shared: bool
    """Stages 2 to K-1 share one parameter set (DGUNet) or not (DGUNet+)."""
    n_feat: int
    scale: int
    last_width: int
    """Channels that the last concatenation adds to ``n_feat``; used by the reduced last stage."""
    stages: int = 7
    channels: int = 3
    gradient_width: int = 64
    """Hidden channels of the two residual blocks of Eq. (7)."""

    # Gradient step: Eq. (6) when the operator is known, Eq. (7) when it is learned.
    gradient: bool = True
    """False removes the gradient step: v^k = x_hat^{k-1} (Table 6, "w/o FGDM")."""
    operator: Literal["learned", "block-sampling"] = "learned"
    ratio: int | None = None
    """Percent of measurements of the block sampling operator."""
    block: int = 32
    """Side of a sampled block in pixels."""
    proximal_domain: Literal["image", "block"] = "image"
    """Block sampling: run the proximal mapping on the whole image, or on each block alone."""
    gradient_activation: Literal["prelu", "relu"] = "prelu"

    # Proximal mapping.
    downsample: Literal["strided-convolution", "max-pool"] = "strided-convolution"
    upsample: Literal["transposed-convolution", "bilinear"] = "transposed-convolution"
    encoder_norm: Literal["half-instance", "none"] = "half-instance"
    residual_block: Literal["leaky", "plain"] = "leaky"
    decoder_merge: Literal["concatenate", "add"] = "concatenate"
    sam_attention: bool = False
    injection: Literal["projection", "concatenate"] = "projection"
    """How stages 2 to K-1 take in the previous stage's SAM features."""
    last_injection: Literal["projection", "concatenate"] = "projection"
    last_stage: Literal["reduced", "full"] = "reduced"
    last_skip: Literal["initial-estimate", "gradient-step"] = "initial-estimate"
    """The image that the last stage adds to its output: x_hat^0 or v^K."""

    # Inter-stage feature fusion, Eq. (8).
    fusion: Literal["spatial", "addition", "none"] = "spatial"
    """Spatial-adaptive, additive (Table 6, "w/o SP") or absent (Table 6, "w/o ISFF")."""
    fusion_scales: int = 3
    """The number of scales fused, counted from full resolution (Table 5)."""
    fusion_kernel: Literal[1, 3] = 3
    fusion_activation: Literal["leaky", "none"] = "leaky"
    fusion_gain: Literal["one-plus-sigmoid", "linear"] = "one-plus-sigmoid"

    # What the released code shares or keeps without saying so.
    prelu_sharing: Literal["all", "outer", "none"] = "none"
    """One PReLU for all gradient blocks, and one for the channel attention blocks of all stages
    or of the outer (first and last) stages; or a slope of its own for every block."""
    dormant: bool = False
    """Hold the parameters that the released code registers and never uses."""

    def __post_init__(self) -> None:
        for name in FIELDS:
            check_field(name, getattr(self, name))
        if self.n_feat % 4:
            raise ConfigError(
                f"n_feat={self.n_feat} is not divisible by 4.",
                "Channel attention reduces the features by 4; use a multiple of 4.",
            )
        if self.scale % 2 and self.encoder_norm == "half-instance":
            raise ConfigError(
                f"scale={self.scale} is odd.",
                "Half-instance normalisation splits the channels in two; use an even scale.",
            )
        if (self.operator == "block-sampling") != (self.ratio is not None):
            raise ConfigError(
                f"operator={self.operator!r} with ratio={self.ratio!r}.",
                "The block sampling operator needs a ratio, the learned one has none.",
            )
        self._check_blocks()
        if self.ratio is not None and self.ratio not in RATIOS:
            raise ConfigError(
                f"ratio={self.ratio} is unknown.",
                f"Use one of {', '.join(map(str, RATIOS))} (percent).",
            )
        if (count := count_parameters(self)) > PARAMETERS:
            raise ConfigError(
                f"n_feat={self.n_feat}, scale={self.scale}, stages={self.stages} make a network of"
                f" {count:,} parameters.",
                f"Use smaller widths or fewer stages: at most {PARAMETERS:,}.",
            )

    def _check_blocks(self) -> None:
        if self.operator != "block-sampling":
            return
        if self.channels != 1:
            raise ConfigError(
                f"channels={self.channels} with block sampling.",
                "Sampled images are grey; use channels=1.",
            )
        # Three halvings, and instance normalisation needs two pixels after them.
        smallest = 16 if self.encoder_norm == "half-instance" else 8
        if self.block % 8 or self.block < smallest:
            raise ConfigError(
                f"block={self.block} does not suit the encoder.",
                f"Use a multiple of 8, {smallest} or more.",
            )

    @property
    def variant(self) -> Variant:
        """The paper's name: DGUNet (shared middle stages) or DGUNet+ (independent stages)."""
        return "DGUNet" if self.shared else "DGUNet+"

    @property
    def measurements(self) -> int:
        """Measurements per block: ceil(ratio % of the block's pixels); 0 without sampling."""
        return math.ceil((self.ratio or 0) * self.block**2 / 100)

    @property
    def multiple(self) -> int:
        """Image sides are padded up to a multiple of this."""
        return self.block if self.operator == "block-sampling" else 8

    def width(self, level: int) -> int:
        """Channels after ``level`` encoder scales: n_feat, n_feat + scale, ..."""
        return self.n_feat + level * self.scale

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON-ready values, in the order of declaration."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DGUNetConfig:
        """The config of ``to_dict``; every field must be there, and nothing else.

        Raises:
            ConfigError: naming the missing or unknown fields.
        """
        if missing := sorted(set(FIELDS) - set(values)):
            raise ConfigError(f"network config lacks {', '.join(missing)}.", "Add these fields.")
        _known(values)
        return cls(**values)


def _known(values: Mapping[str, Any]) -> None:
    if unknown := sorted(set(values) - set(FIELDS)):
        raise ConfigError(
            f"network config has no field {shorten(', '.join(unknown))[1:-1]}.",
            f"The fields are {', '.join(FIELDS)}.",
        )


FIELDS: dict[str, Any] = get_type_hints(DGUNetConfig)
"""The kind of every field, by its name."""


def check_field(name: str, value: Any) -> None:
    """Refuse ``value`` unless it is of the annotated kind of field ``name``, and in its range.

    Raises:
        ConfigError: naming field and value, and what to use instead.
    """
    kind = FIELDS[name]
    if kind is bool:
        valid, wanted = isinstance(value, bool), "true or false"
    elif kind is int:
        low, high = RANGES[name]
        valid = type(value) is int and low <= value <= high
        wanted = f"a whole number from {low} to {high}"
    elif type(None) in get_args(kind):
        valid, wanted = value is None or type(value) is int, "an integer or none"
    else:
        choices = get_args(kind)
        valid = any(value == choice and type(value) is type(choice) for choice in choices)
        wanted = "one of " + ", ".join(map(repr, choices))
    if not valid:
        raise ConfigError(f"{name}={shorten(value)} is not allowed.", f"Use {wanted}.")


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
"""The network that the text of Section 3 describes, whatever the task."""


def _released(task: str, shared: bool) -> dict[str, Any]:
    """The choices of the released code that depend on the task or the variant."""
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
    """The network of ``task`` as the authors' code builds it, or as the paper's text says.

    Args:
        task: "derain", "deblur", "denoise" or "cs".
        variant: "DGUNet" (shared middle stages) or "DGUNet+" (independent stages).
        architecture: "released" (the code) or "paper" (the text).
        ratio: sampling ratio in percent; needed for "cs", refused for the other tasks.
        overrides: any field of :class:`DGUNetConfig`, such as ``n_feat=8, scale=4, stages=3``
            for a tiny network or ``fusion="addition"`` for an ablation.

    Raises:
        ConfigError: for an unknown name or a value that does not fit.
    """
    _choose("task", task, TASKS)
    _choose("variant", variant, VARIANTS)
    _choose("architecture", architecture, ARCHITECTURES)
    if task == "cs" and ratio is None:
        raise ConfigError("task cs needs a ratio.", "Give ratio=10, for example.")
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
