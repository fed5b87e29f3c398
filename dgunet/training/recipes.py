"""The paper's trainings and the released code's, whole: network, data a step sees, optimiser.

>>> recipe = released("derain")
>>> recipe.training.iterations, recipe.epochs
(214250, 250.0)
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from dgunet.network import DGUNetConfig, preset
from dgunet.network.describe import describe
from dgunet.training.settings import TrainingConfig

BACKWARD = 2
"""A backward pass costs about two forward passes."""

SAMPLES = {"derain": 13_712, "deblur": 2_103, "denoise": 96_000}
"""Photographs (denoising: the patches cut beforehand) in an epoch of the RGB tasks."""

CROPS = 200
"""Crops that an epoch of compressive sensing draws from every photograph."""


@dataclass(frozen=True)
class Recipe:
    """One training of one table row, and what it costs, computed from the network itself."""

    name: Literal["paper", "released"]
    network: DGUNetConfig
    training: TrainingConfig
    patch: int
    batch: int
    """Samples a step, over all processes."""
    samples: int
    """Samples in an epoch."""
    mixup_after: int | None = None
    not_built: tuple[str, ...] = ()
    """What the original does and a training of this project does not."""

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps in an epoch, the last one included where it is not full."""
        return -(-self.samples // self.batch)

    @property
    def epochs(self) -> float:
        """How often every photograph is seen."""
        return self.training.iterations / self.steps_per_epoch

    @property
    def flops(self) -> int:
        """Floating-point operations of the whole training, by `dgunet.network.describe`.

        Convolutions and matrix products, forward and backward.
        """
        one = describe(self.network, (self.patch, self.patch)).flops
        return (1 + BACKWARD) * one * self.batch * self.training.iterations

    def hours(self, flops_per_second: float) -> float:
        """Duration at a sustained rate that was measured, over all GPUs."""
        return self.flops / flops_per_second / 3600

    def knobs(self) -> dict[str, Any]:
        """What to write under ``<profile>.train.<task>`` of ``params.yaml``; defaults left out."""
        defaults = {
            field.name: field.default
            for field in dataclasses.fields(TrainingConfig)
            if field.default is not dataclasses.MISSING
        }
        apart = {"seed", "device", "threads"}
        values = dataclasses.asdict(self.training) | {"batch": self.batch, "patch": self.patch}
        if self.mixup_after is not None:
            values["mixup_after"] = self.mixup_after
        return {
            key: value
            for key, value in values.items()
            if key not in apart and (key not in defaults or value != defaults[key])
        }

    def header(self) -> str:
        """One line with what it is and what it costs."""
        ratio = "" if self.network.ratio is None else f" {self.network.ratio} %"
        return (
            f"{self.name}: {self.network.task}{ratio} {self.network.variant}, "
            f"{self.training.iterations:,} steps of {self.batch} x {self.patch} x {self.patch}, "
            f"{self.epochs:.1f} epochs of {self.samples:,}, {self.flops / 1e18:.3g} EFLOP"
        )


def paper(task: str, variant: str = "DGUNet", *, ratio: int | None = None) -> Recipe:
    """Section 4.1 and 4.5 as printed: Eq. (10), Adam, warm-up and cosine.

    The text leaves open how long the warm-up is (here the released code's three epochs) and how
    many blocks an epoch of compressive sensing has (here its 200 a photograph of BSD400).

    Raises:
        ConfigError: for an unknown name, or a ratio that does not fit.
    """
    network = preset(task, variant, architecture="paper", ratio=ratio)
    if task == "cs":
        training = TrainingConfig(iterations=125_000, learning_rate=1e-4, warmup=0)
        return Recipe("paper", network, training, patch=32, batch=128, samples=400 * CROPS)
    epoch = -(-SAMPLES[task] // 16)
    training = TrainingConfig(iterations=400_000, learning_rate=2e-4, warmup=3 * epoch)
    return Recipe("paper", network, training, patch=256, batch=16, samples=SAMPLES[task])


def released(task: str, variant: str = "DGUNet", *, ratio: int | None = None) -> Recipe:
    """As the authors' code trains: rates move once an epoch, losses and rates by task.

    Raises:
        ConfigError: for an unknown name, or a ratio that does not fit.
    """
    network = preset(task, variant, ratio=ratio)
    if task == "cs":
        samples, batch = 1_200 * CROPS, 32
        training = TrainingConfig(
            iterations=400 * samples // batch,
            learning_rate=1e-4,
            learning_rate_min=1e-4,
            warmup=0,
            loss="l2-clamped",
        )
        beyond = (
            "DIV2K beside BSD400",
            "crops of a photograph in one epoch",
            "four of the eight symmetries only",
            "the second step, 100 epochs at larger crops",
            "the choice of the best weights on Set11",
        )
        return Recipe("released", network, training, 32, batch, samples, None, beyond)
    # rate, epochs, epochs from the cosine's start to its minimum, patch
    rate, epochs, period, patch = {
        "derain": (2e-4, 250, 247, 256),
        "deblur": (1e-4, 3000, 2997, 256),
        "denoise": (1e-4, 80, 117, 128),
    }[task]
    epoch = -(-SAMPLES[task] // 16)
    training = TrainingConfig(
        iterations=epochs * epoch,
        learning_rate=rate,
        warmup=3,
        rate_every=epoch,
        rate_period=period,
        loss="charbonnier-clamped" if task == "denoise" else "charbonnier-edge",
        weight_decay=1e-8 if task == "denoise" else 0.0,
    )
    choice = {
        "derain": "Rain100L",
        "deblur": "GoPro's test part",
        "denoise": "SIDD's validation patches",
    }[task]
    missing: tuple[str, ...] = (f"the choice of the best weights on {choice}",)
    if task == "deblur":
        missing += ("random saturation",)
    mixup = 5 * epoch if task == "denoise" else None
    return Recipe("released", network, training, patch, 16, SAMPLES[task], mixup, missing)
