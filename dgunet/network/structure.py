"""Structure of a DGUNet: every field of its configuration, with its choices and its range.

Each difference between the networks of the paper's text and of the released code is one field here;
the table ``dgunet.network.errata.ERRATA`` names the field of each difference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_type_hints

from dgunet.system.errors import ConfigError
from dgunet.system.reading import shorten
from dgunet.terms import Task, Variant

RATIOS = (1, 4, 10, 25, 30, 40, 50)
"""Sampling ratios in percent of the released code; the paper reports 1, 4, 10, 25 and 50."""

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
"""Smallest and largest value of every integer field."""


@dataclass(frozen=True)
class NetworkStructure:
    """Fields of a network configuration and the values derived from them.

    :class:`dgunet.network.config.DGUNetConfig` adds the limit on the number of parameters.

    Widths: the full-resolution features have ``n_feat`` channels, and encoder scale ``i``
    (0 = full resolution) has ``n_feat + (i + 1) * scale``.

    Raises:
        ConfigError: if a field has a value outside its choices or range.
    """

    task: Task
    shared: bool
    """Whether stages 2 to K-1 share one parameter set (DGUNet) or not (DGUNet+)."""
    n_feat: int
    scale: int
    last_width: int
    """Channels that the last concatenation adds to ``n_feat``; used by the reduced last stage."""
    stages: int = 7
    """Number of stages K."""
    channels: int = 3
    gradient_width: int = 64
    """Hidden channels of the two residual blocks of Eq. (7)."""

    # Gradient step: Eq. (6) when the operator is known, Eq. (7) when it is learned.
    gradient: bool = True
    """False removes the gradient step: v^k = x_hat^{k-1} (Table 6, "w/o FGDM")."""
    operator: Literal["learned", "block-sampling"] = "learned"
    ratio: int | None = None
    """Sampling ratio in percent; None unless the operator is block sampling."""
    block: int = 32
    """Side of a sampled square block in pixels."""
    proximal_domain: Literal["image", "block"] = "image"
    """Block sampling only: apply the proximal mapping to the whole image or to each block."""
    gradient_activation: Literal["prelu", "relu"] = "prelu"

    # Proximal mapping.
    downsample: Literal["strided-convolution", "max-pool"] = "strided-convolution"
    upsample: Literal["transposed-convolution", "bilinear"] = "transposed-convolution"
    encoder_norm: Literal["half-instance", "none"] = "half-instance"
    residual_block: Literal["leaky", "plain"] = "leaky"
    decoder_merge: Literal["concatenate", "add"] = "concatenate"
    sam_attention: bool = False
    injection: Literal["projection", "concatenate"] = "projection"
    """How stages 2 to K-1 receive the SAM features of the previous stage."""
    last_injection: Literal["projection", "concatenate"] = "projection"
    last_stage: Literal["reduced", "full"] = "reduced"
    last_skip: Literal["initial-estimate", "gradient-step"] = "initial-estimate"
    """The image that the last stage adds to its output: x_hat^0 or v^K."""

    # Inter-stage feature fusion, Eq. (8).
    fusion: Literal["spatial", "addition", "none"] = "spatial"
    """Spatial-adaptive, additive (Table 6, "w/o SP") or absent (Table 6, "w/o ISFF")."""
    fusion_scales: int = 3
    """Number of fused scales, counted from full resolution (Table 5)."""
    fusion_kernel: Literal[1, 3] = 3
    fusion_activation: Literal["leaky", "none"] = "leaky"
    fusion_gain: Literal["one-plus-sigmoid", "linear"] = "one-plus-sigmoid"

    # Sharing and unused parameters of the released code, which the paper does not mention.
    prelu_sharing: Literal["all", "outer", "none"] = "none"
    """Sharing of PReLU slopes: one for all gradient blocks, and one for the channel attention
    blocks of all stages ("all") or of the first and last stage ("outer"); or one per block."""
    dormant: bool = False
    """Include the parameters that the released code registers and never uses."""

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
                f"operator={self.operator!r} does not go with ratio={self.ratio!r}.",
                "Block sampling needs a ratio; a learned operator has none.",
            )
        self._check_blocks()
        if self.ratio is not None and self.ratio not in RATIOS:
            raise ConfigError(
                f"ratio={self.ratio} is unknown.",
                f"Use one of {', '.join(map(str, RATIOS))} (percent).",
            )

    def _check_blocks(self) -> None:
        if self.operator != "block-sampling":
            return
        if self.channels != 1:
            raise ConfigError(
                f"channels={self.channels} does not go with block sampling.",
                "Sampled images are grey; use channels=1.",
            )
        # The encoder halves the sides three times; instance normalisation then needs two pixels.
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
        """Measurements per block M = ceil(ratio / 100 * block^2); 0 without block sampling."""
        return math.ceil((self.ratio or 0) * self.block**2 / 100)

    @property
    def multiple(self) -> int:
        """Image sides in pixels are padded to a multiple of this number."""
        return self.block if self.operator == "block-sampling" else 8

    def width(self, level: int) -> int:
        """Return the channels after ``level`` encoder scales: ``n_feat + level * scale``."""
        return self.n_feat + level * self.scale


FIELDS: dict[str, Any] = get_type_hints(NetworkStructure)
"""Type of every field, by name."""


def check_field(name: str, value: Any) -> None:
    """Check that ``value`` has the annotated type of field ``name`` and is in its range.

    Raises:
        ConfigError: if it does not; the message names the field, the value and what is allowed.
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
