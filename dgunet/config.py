"""``params.yaml`` as typed objects: every knob, its range, and errors that name the key.

One file holds two profiles. ``profile`` chooses the active one; ``sample`` is small enough for a
laptop, ``paper`` holds the settings that Section 4.1 of the paper prints.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dgunet.errors import ConfigError

Task = Literal["derain", "deblur", "denoise", "cs"]
Variant = Literal["DGUNet", "DGUNet+"]
Profile = Literal["sample", "paper"]
Architecture = Literal["released", "paper"]
Loss = Literal["l2", "l2-clamped", "charbonnier-edge", "charbonnier-clamped"]
Augment = Literal["none", "symmetries", "released"]

TASKS: tuple[Task, ...] = ("derain", "deblur", "denoise", "cs")
CS_RATIOS: tuple[int, ...] = (1, 4, 10, 25, 50)
"""The paper's compressive-sensing ratios in percent (Section 4.5)."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class ValidationParams(_Strict):
    """What the network is judged on during training; its best weights are the result."""

    interval: int = Field(gt=0, description="steps between two validations")
    fraction: float = Field(
        default=0, ge=0, lt=1, description="of the training set's photographs, held out"
    )
    test_set: str | None = Field(
        default=None, description="choose on this test set, as the released code does"
    )
    crop: int = Field(
        default=0, ge=0, description="side of the square cut from the middle; 0: whole pictures"
    )

    @model_validator(mode="after")
    def _one_source(self) -> ValidationParams:
        if (self.fraction > 0) == (self.test_set is not None):
            raise ValueError("either a fraction above 0 or a test_set, and not both")
        return self


class TrainParams(_Strict):
    """How one network is trained (Section 4.1)."""

    iterations: int = Field(gt=0, description="optimiser steps")
    batch: int = Field(gt=0, description="patches per step, over all processes")
    patch: int = Field(gt=0, multiple_of=8, description="side of the square training patch, pixels")
    learning_rate: float = Field(gt=0, le=1, description="peak Adam learning rate")
    warmup: int = Field(ge=0, description="steps of linear warm-up")
    learning_rate_min: float = Field(default=1e-6, ge=0, description="end of the cosine")
    augment: Augment = Field(
        default="symmetries",
        description="the eight flips and rotations, none, or what the released code does",
    )
    crops: int = Field(default=1, gt=0, description="crops of each picture in an epoch")
    beside: tuple[str, ...] = Field(
        default=(), description="further training sets, prepared, whose pictures are drawn too"
    )
    rate_every: int = Field(default=1, gt=0, description="steps between moves of the schedule")
    rate_period: int = Field(
        default=0, ge=0, description="moves from the cosine's start to its minimum; 0: to the end"
    )
    halve_at: tuple[int, ...] = Field(
        default=(), description="moves at which the rate is halved, instead of the cosine"
    )
    loss: Loss = Field(default="l2", description="Eq. (10), or one of the released code's")
    weight_decay: float = Field(default=0, ge=0, description="Adam's L2 penalty")
    mixup_after: int | None = Field(
        default=None, ge=0, description="blend samples of a batch from this step on; none: never"
    )
    micro_batch: int = Field(
        default=0, ge=0, description="samples at once in each process; 0: its whole share"
    )
    clip: float = Field(default=0, ge=0, description="largest norm of the gradient; 0: any")
    average: float = Field(
        default=0, ge=0, lt=1, description="decay of the averaged weights; 0: none"
    )
    bfloat16: bool = Field(default=False, description="run the network under bfloat16 autocast")
    skip_budget: int = Field(
        default=0, ge=0, description="steps that are not finite and may be left out; one more stops"
    )
    compile: bool = Field(default=False, description="run the network through torch.compile")
    channels_last: bool = Field(default=False, description="lay channels innermost in memory")
    recompute: bool = Field(
        default=False, description="keep no activations within a stage, run it again instead"
    )
    fused_adam: bool = Field(default=False, description="Adam's step as one kernel")
    validation: ValidationParams | None = Field(
        default=None, description="pictures to judge the network on; none: the last weights count"
    )

    @model_validator(mode="after")
    def _one_schedule(self) -> TrainParams:
        if self.halve_at and self.warmup:
            raise ValueError("halve_at goes with warmup: 0")
        return self


class EvaluateParams(_Strict):
    """What an evaluation keeps beside its numbers."""

    keep_images: int = Field(ge=0, description="restored pictures kept per set, as PNG")


class RuntimeParams(_Strict):
    """Where and how training and evaluation run."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(
        ge=0,
        description="CPU threads; fixed because the last bit of a sum depends on it; 0: all",
    )
    checkpoint_seconds: float = Field(
        default=300, ge=0, description="time between two training checkpoints; 0: every step"
    )


class ProfileParams(_Strict):
    """All knobs of one profile."""

    runtime: RuntimeParams
    network: dict[str, int | str] = Field(
        description="widths and choices that replace the architecture preset's"
    )
    train: dict[Task, TrainParams]
    ablate: TrainParams
    evaluate: EvaluateParams


class Params(_Strict):
    """The whole of ``params.yaml``."""

    profile: Profile
    variants: tuple[Variant, ...] = Field(min_length=1)
    architecture: Architecture
    seed: int = Field(ge=0, lt=2**32)
    sample: ProfileParams
    paper: ProfileParams

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


def check_task(task: str) -> Task:
    """Return ``task`` if the paper has it.

    Raises:
        ConfigError: naming the tasks there are.
    """
    for known in TASKS:
        if task == known:
            return known
    raise ConfigError(f"unknown task {task!r}.", f"Tasks are: {', '.join(TASKS)}.")


def load_params(path: Path) -> Params:
    """Read and check ``params.yaml``.

    Raises:
        ConfigError: if the file is missing, is not YAML, or holds a key or value that is not
            allowed; the message names the key, the value and what is allowed.
    """
    try:
        text = path.read_text()
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
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{origin} is not YAML: {' '.join(str(error).split())}.") from error
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
        lines = "; ".join(_explain(entry) for entry in error.errors())
        raise ConfigError(f"{origin}: {lines}.", "`params.yaml` explains each key.") from error


def _explain(entry: Any) -> str:
    key = ".".join(str(part) for part in entry["loc"])
    if entry["type"] == "extra_forbidden":
        near = get_close_matches(str(entry["loc"][-1]), _field_names(), n=1)
        return f"{key} is not a parameter" + (f" (did you mean {near[0]}?)" if near else "")
    if entry["type"] == "missing":
        return f"{key} is missing"
    allowed = str(entry["msg"]).removeprefix("Input should be ").removeprefix("Value error, ")
    return f"{key} is {entry['input']!r}, allowed: {allowed}"


def _field_names() -> list[str]:
    models = (
        *(Params, ProfileParams, TrainParams, ValidationParams),
        *(EvaluateParams, RuntimeParams),
    )
    return [name for model in models for name in model.model_fields]
