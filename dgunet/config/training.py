"""Training settings, as in ``params.yaml`` and as the loop uses them; importable without torch.

>>> TrainingSettings(iterations=60, batch=2, patch=32, learning_rate=3e-3, warmup=5).loss
'l2'
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import Field, model_validator

from dgunet.config.cross_checks import check_set
from dgunet.config.ranges import StrictModel, flag, real, set_name, setting_error, whole

Loss = Literal["l2", "l2-clamped", "charbonnier-edge", "charbonnier-clamped"]
Augment = Literal["none", "symmetries", "released"]

FAST_SWITCHES = ("bfloat16", "channels_last", "compile", "fused_adam")
"""The settings that ``fast`` decides."""

STEP_PIXELS = 1 << 28
"""Largest number of pixels in the patches of one step: 256 times that of the paper."""

Steps = Annotated[int, whole(1, 100_000_000)]
StepsOrNone = Annotated[int, whole(0, 100_000_000)]
Flag = Annotated[bool, flag()]
SetName = Annotated[str, set_name()]


class ValidationSettings(StrictModel):
    """Settings of the validation during training, which selects the best weights."""

    interval: Steps = Field(
        description="steps between two validations; the last step is validated too"
    )
    fraction: Annotated[float, real(0, 1, below=True)] = Field(
        default=0, description="fraction of the training set's photographs that is held out"
    )
    test_set: SetName | None = Field(
        default=None, description="select on this test set, as the released code does"
    )
    crop: Annotated[int, whole(0, 65_536)] = Field(
        default=0, description="side in pixels of the square cut from the centre; 0: whole images"
    )

    @model_validator(mode="after")
    def _one_source(self) -> ValidationSettings:
        if (self.fraction > 0) == (self.test_set is not None):
            raise ValueError("either a fraction above 0 or a test_set, but not both")
        if self.test_set is not None:
            check_set(self.test_set, "test")
        return self


class TrainingSettings(StrictModel):
    """Settings of the training of one network (Section 4.1).

    Together with the network, the data and the seed, they determine the weights. The number of
    processes affects only their rounding, because ``batch`` is divided among the processes.
    """

    iterations: Steps = Field(description="optimiser steps")
    batch: Annotated[int, whole(1, 65_536)] = Field(
        description="patches per step, over all processes"
    )
    patch: Annotated[int, whole(8, 4_096, multiple=8)] = Field(
        description="side of the square training patch, in pixels"
    )
    learning_rate: Annotated[float, real(0, 1, above=True)] = Field(
        description="peak Adam learning rate"
    )
    warmup: StepsOrNone = Field(description="rate updates in the linear warm-up")
    learning_rate_min: Annotated[float, real(0, 1)] = Field(
        default=1e-6, description="learning rate at the end of the cosine"
    )
    augment: Augment = Field(
        default="symmetries",
        description="the eight flips and rotations, none, or the released code's for the task",
    )
    crops: Annotated[int, whole(1, 100_000)] = Field(
        default=1, description="crops of each image per epoch"
    )
    beside: tuple[SetName, ...] = Field(
        default=(),
        max_length=16,
        description="further prepared training sets to draw images from",
    )
    rate_every: Steps = Field(
        default=1, description="steps between two rate updates: 1, or the steps of an epoch"
    )
    rate_period: StepsOrNone = Field(
        default=0,
        description="rate updates from the cosine's start to its minimum; 0: until the end",
    )
    halve_at: tuple[Steps, ...] = Field(
        default=(),
        max_length=1_000,
        description="rate updates at which the rate is halved, instead of the cosine",
    )
    loss: Loss = Field(default="l2", description="Eq. (10), or a loss of the released code")
    weight_decay: Annotated[float, real(0, 1)] = Field(
        default=0, description="Adam's L2 penalty, added to the gradient"
    )
    mixup_after: StepsOrNone | None = Field(
        default=None,
        description="step from which samples of a batch are blended (MixUp); none: never",
    )
    micro_batch: Annotated[int, whole(0, 65_536)] = Field(
        default=0, description="samples per forward pass in each process; 0: all its samples"
    )
    clip: Annotated[float, real(0, 1e9)] = Field(
        default=0, description="largest L2 norm of the gradient; 0: unlimited"
    )
    average: Annotated[float, real(0, 1, below=True)] = Field(
        default=0, description="decay of the moving average of the weights; 0: no average"
    )
    bfloat16: Flag = Field(
        default=False,
        description="run the network under bfloat16 autocast; weights, losses and optimiser stay"
        " float32",
    )
    skip_budget: Annotated[int, whole(0, 1_000_000)] = Field(
        default=0,
        description="steps with a non-finite loss or gradient that may be skipped; one more stops",
    )
    compile: Flag = Field(default=False, description="run the network through torch.compile")
    channels_last: Flag = Field(
        default=False, description="store images and weights with the channels innermost"
    )
    recompute: Flag = Field(
        default=False,
        description="store no activations within a stage; recompute them in the backward pass",
    )
    fused_adam: Flag = Field(default=False, description="run Adam's update as one fused kernel")
    fast: Flag = Field(
        default=False,
        description="decide those of bfloat16, channels_last, compile and fused_adam that are not"
        " written: all that a GPU has; on a CPU what a probe finds faster at equal results",
    )
    validation: ValidationSettings | None = Field(
        default=None, description="validation and model selection; none: keep the last weights"
    )

    @property
    def left_to_fast(self) -> tuple[str, ...]:
        """The switches that ``fast`` has to decide: those that are not written."""
        written = self.model_fields_set
        return tuple(name for name in FAST_SWITCHES if self.fast and name not in written)

    @property
    def switches(self) -> tuple[str, ...]:
        """The switches of ``fast`` that are on, written or decided."""
        return tuple(name for name in FAST_SWITCHES if getattr(self, name))

    def decided(self, on: Collection[str]) -> TrainingSettings:
        """Return the settings in which ``fast`` has turned ``on`` these switches, and is done."""
        values = {name: name in on for name in self.left_to_fast}
        return self.model_copy(update=values | {"fast": False})

    @model_validator(mode="after")
    def _one_schedule(self) -> TrainingSettings:
        if self.halve_at and self.warmup:
            raise ValueError("halve_at requires warmup: 0")
        return self

    @model_validator(mode="after")
    def _known_sets(self) -> TrainingSettings:
        for name in self.beside:
            check_set(name, "train")
        return self

    @model_validator(mode="after")
    def _fits_memory(self) -> TrainingSettings:
        if (pixels := self.batch * self.patch**2) > STEP_PIXELS:
            raise setting_error(
                f"batch {self.batch:,} x patch {self.patch:,} squared is {pixels:,} pixels per"
                f" step, allowed: at most {STEP_PIXELS:,}"
            )
        return self


Device = Literal["auto", "cpu", "cuda"]
Threads = Annotated[int, whole(0, 1_024)]
Kernels = Literal["fastest", "portable"]


class RuntimeSettings(StrictModel):
    """Settings of the machine that training and evaluation run on."""

    device: Device = "auto"
    threads: Threads = Field(
        description="CPU threads, fixed because the last bits of sums depend on them; 0: all",
    )
    kernels: Kernels = Field(
        default="fastest",
        description="CPU kernels: the fastest of the machine, or the same bits on every machine",
    )
    checkpoint_seconds: Annotated[float, real(0, 31_536_000, unit="seconds")] = Field(
        default=300, description="seconds between two training checkpoints; 0: every step"
    )
