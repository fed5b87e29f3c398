"""``params.yaml`` as typed objects: every knob, its range, and errors that name the key.

One file holds two profiles. ``profile`` chooses the active one; ``sample`` is small enough for a
laptop, ``paper`` holds the settings that Section 4.1 of the paper prints.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from dgunet.config.cross_checks import check_overrides, check_set, check_together, told
from dgunet.config.ranges import explain, field_names, flag, real, set_name, whole
from dgunet.system.errors import ConfigError
from dgunet.system.reading import parse_yaml, read_text
from dgunet.terms import Architecture, Profile, Task, Variant, check_task

Loss = Literal["l2", "l2-clamped", "charbonnier-edge", "charbonnier-clamped"]
Augment = Literal["none", "symmetries", "released"]

TEXT_BYTES = 256 << 10
"""A parameter file is at most this large."""

STEP_PIXELS = 1 << 28
"""Pixels that the patches of a step have together at most, 256 times the paper's."""

Steps = Annotated[int, whole(1, 100_000_000)]
StepsOrNone = Annotated[int, whole(0, 100_000_000)]
Flag = Annotated[bool, flag()]
SetName = Annotated[str, set_name()]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class ValidationParams(_Strict):
    """What the network is judged on during training; its best weights are the result."""

    interval: Steps = Field(description="steps between two validations")
    fraction: Annotated[float, real(0, 1, below=True)] = Field(
        default=0, description="of the training set's photographs, held out"
    )
    test_set: SetName | None = Field(
        default=None, description="choose on this test set, as the released code does"
    )
    crop: Annotated[int, whole(0, 65_536)] = Field(
        default=0, description="side of the square cut from the middle; 0: whole pictures"
    )

    @model_validator(mode="after")
    def _one_source(self) -> ValidationParams:
        if (self.fraction > 0) == (self.test_set is not None):
            raise ValueError("either a fraction above 0 or a test_set, and not both")
        if self.test_set is not None:
            check_set(self.test_set, "test")
        return self


class TrainParams(_Strict):
    """How one network is trained (Section 4.1)."""

    iterations: Steps = Field(description="optimiser steps")
    batch: Annotated[int, whole(1, 65_536)] = Field(
        description="patches per step, over all processes"
    )
    patch: Annotated[int, whole(8, 4_096, multiple=8)] = Field(
        description="side of the square training patch, pixels"
    )
    learning_rate: Annotated[float, real(0, 1, above=True)] = Field(
        description="peak Adam learning rate"
    )
    warmup: StepsOrNone = Field(description="steps of linear warm-up")
    learning_rate_min: Annotated[float, real(0, 1)] = Field(
        default=1e-6, description="end of the cosine"
    )
    augment: Augment = Field(
        default="symmetries",
        description="the eight flips and rotations, none, or what the released code does",
    )
    crops: Annotated[int, whole(1, 100_000)] = Field(
        default=1, description="crops of each picture in an epoch"
    )
    beside: tuple[SetName, ...] = Field(
        default=(),
        max_length=16,
        description="further training sets, prepared, whose pictures are drawn too",
    )
    rate_every: Steps = Field(default=1, description="steps between moves of the schedule")
    rate_period: StepsOrNone = Field(
        default=0, description="moves from the cosine's start to its minimum; 0: to the end"
    )
    halve_at: tuple[Steps, ...] = Field(
        default=(),
        max_length=1_000,
        description="moves at which the rate is halved, instead of the cosine",
    )
    loss: Loss = Field(default="l2", description="Eq. (10), or one of the released code's")
    weight_decay: Annotated[float, real(0, 1)] = Field(default=0, description="Adam's L2 penalty")
    mixup_after: StepsOrNone | None = Field(
        default=None, description="blend samples of a batch from this step on; none: never"
    )
    micro_batch: Annotated[int, whole(0, 65_536)] = Field(
        default=0, description="samples at once in each process; 0: its whole share"
    )
    clip: Annotated[float, real(0, 1e9)] = Field(
        default=0, description="largest norm of the gradient; 0: any"
    )
    average: Annotated[float, real(0, 1, below=True)] = Field(
        default=0, description="decay of the averaged weights; 0: none"
    )
    bfloat16: Flag = Field(default=False, description="run the network under bfloat16 autocast")
    skip_budget: Annotated[int, whole(0, 1_000_000)] = Field(
        default=0, description="steps that are not finite and may be left out; one more stops"
    )
    compile: Flag = Field(default=False, description="run the network through torch.compile")
    channels_last: Flag = Field(default=False, description="lay channels innermost in memory")
    recompute: Flag = Field(
        default=False, description="keep no activations within a stage, run it again instead"
    )
    fused_adam: Flag = Field(default=False, description="Adam's step as one kernel")
    validation: ValidationParams | None = Field(
        default=None, description="pictures to judge the network on; none: the last weights count"
    )

    @model_validator(mode="after")
    def _one_schedule(self) -> TrainParams:
        if self.halve_at and self.warmup:
            raise ValueError("halve_at goes with warmup: 0")
        return self

    @model_validator(mode="after")
    def _known_sets(self) -> TrainParams:
        for name in self.beside:
            check_set(name, "train")
        return self

    @model_validator(mode="after")
    def _fits_memory(self) -> TrainParams:
        if (pixels := self.batch * self.patch**2) > STEP_PIXELS:
            raise told(
                f"batch {self.batch:,} x patch {self.patch:,} squared is {pixels:,} pixels a step,"
                f" allowed: at most {STEP_PIXELS:,}"
            )
        return self


class EvaluateParams(_Strict):
    """What an evaluation keeps beside its numbers."""

    keep_images: Annotated[int, whole(0, 1_000_000)] = Field(
        description="restored pictures kept per set, as PNG"
    )


class RuntimeParams(_Strict):
    """Where and how training and evaluation run."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Annotated[int, whole(0, 1_024)] = Field(
        description="CPU threads; fixed because the last bit of a sum depends on it; 0: all",
    )
    checkpoint_seconds: Annotated[float, real(0, 31_536_000, unit="seconds")] = Field(
        default=300, description="time between two training checkpoints; 0: every step"
    )


class ProfileParams(_Strict):
    """All knobs of one profile."""

    runtime: RuntimeParams
    network: dict[str, Any] = Field(
        description="widths and choices that replace the architecture preset's"
    )
    train: dict[Task, TrainParams]
    ablate: TrainParams
    evaluate: EvaluateParams

    @field_validator("network")
    @classmethod
    def _fields_of_a_network(cls, network: dict[str, Any]) -> dict[str, Any]:
        check_overrides(network)
        return network


class Params(_Strict):
    """The whole of ``params.yaml``."""

    profile: Profile
    variants: tuple[Variant, ...] = Field(min_length=1, max_length=2)
    architecture: Architecture
    seed: Annotated[int, whole(0, 2**32 - 1)]
    sample: ProfileParams
    paper: ProfileParams

    @model_validator(mode="after")
    def _networks_fit(self) -> Params:
        """Find now what the choices of ``network`` only break together."""
        if len(set(self.variants)) < len(self.variants):
            raise told(f"variants is {list(self.variants)}, allowed: each once")
        for name, profile in (("sample", self.sample), ("paper", self.paper)):
            check_together(f"{name}.network", profile.network, self.variants, self.architecture)
        return self

    @property
    def active(self) -> ProfileParams:
        """The knobs of the profile that ``profile`` names."""
        return self.sample if self.profile == "sample" else self.paper

    def training(self, task: str) -> TrainParams:
        """The active profile's training knobs of ``task``.

        Raises:
            ConfigError: for a task that the paper does not have.
        """
        return self.active.train[check_task(task)]


def load_params(path: Path) -> Params:
    """Read and check ``params.yaml``.

    Raises:
        ConfigError: if the file is missing, is not YAML, or holds a key or value that is not
            allowed; the message names the key, the value and what is allowed.
    """
    try:
        text = read_text(path, limit=TEXT_BYTES, kind=ConfigError)
    except FileNotFoundError as error:
        raise ConfigError(
            f"no parameter file {path}.", "Run in the project's folder, or name one with --params."
        ) from error
    return parse_params(text, str(path))


def parse_params(text: str, origin: str = "params") -> Params:
    """Check the text of a parameter file; ``origin`` is named in errors.

    Raises:
        ConfigError: as `load_params`.
    """
    content = parse_yaml(text, origin, kind=ConfigError)
    if not isinstance(content, dict):
        raise ConfigError(f"{origin} holds {type(content).__name__}, not a mapping of parameters.")
    return check_params(content, origin)


def check_params(content: dict[str, Any], origin: str) -> Params:
    """Validate a parameter mapping; ``origin`` is named in errors.

    Raises:
        ConfigError: as `load_params`.
    """
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        told = error.errors()
        lines = "; ".join(explain(entry, _NAMES) for entry in told[:MOST_TOLD])
        more = f"; and {len(told) - MOST_TOLD} more" if len(told) > MOST_TOLD else ""
        raise ConfigError(
            f"{origin}: {lines}{more}.", "`params.yaml` explains each key."
        ) from error


MOST_TOLD = 5
"""Of the faults of one file, so many are named."""

_NAMES = field_names(
    *(Params, ProfileParams, TrainParams, ValidationParams),
    *(EvaluateParams, RuntimeParams),
)
