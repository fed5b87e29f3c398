"""The paper's trainings and the released code's, whole: network, data a step sees, optimiser.

>>> recipe = released("derain")
>>> recipe.training.iterations, recipe.epochs
(214250, 250.0)
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass, replace
from typing import Any, Literal

from dgunet.network import DGUNetConfig, preset
from dgunet.network.describe import describe_network
from dgunet.paper.expected import expected
from dgunet.system.errors import ConfigError
from dgunet.training.settings import TrainingConfig

BACKWARD = 2
"""A backward pass costs about two forward passes."""

SAMPLES = {"derain": 13_712, "deblur": 2_103, "denoise": 96_000}
"""Photographs (denoising: the patches cut beforehand) in an epoch of the RGB tasks."""

CROPS = 200
"""Crops that an epoch of compressive sensing draws from every photograph."""

LOGGED = 1_738.0
"""Seconds that the authors' log gives an epoch of DGUNet+ for deraining on two GPUs."""


@dataclass(frozen=True)
class Choice:
    """Which pictures choose the best weights."""

    interval: int
    """Steps between two validations."""
    crop: int
    """Side of the square from the middle of each picture; 0: whole pictures."""
    fraction: float = 0.0
    """Of the training photographs, held out."""
    test_set: str | None = None
    """What the released code chooses on."""

    def knobs(self) -> dict[str, Any]:
        """As ``params.yaml`` takes it."""
        return {k: v for k, v in dataclasses.asdict(self).items() if v}

    def __str__(self) -> str:
        part = self.test_set or f"{100 * self.fraction:g} % of the photographs, held out"
        return f"the best on {part}"


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
    crops: int = 1
    """Crops of each picture in an epoch."""
    beside: tuple[str, ...] = ()
    """Training sets beside the task's own."""
    augment: Literal["symmetries", "released"] = "symmetries"
    choice: Choice | None = None
    """None: the weights after the last step are the result. The paper does not say."""
    step: int = 1
    """Compressive sensing is trained in two; the second begins with the weights of the first."""
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
        one = _forward_flops(self.network, self.patch)
        return (1 + BACKWARD) * one * self.batch * self.training.iterations

    def hours(self, gpus: int, flops_per_second: float | None = None) -> float:
        """Duration on ``gpus`` that each sustain a rate; without one, that of the authors' GPUs.

        Theirs follows from the one epoch time that they published (`LOGGED`).
        """
        return self.flops / (gpus * (flops_per_second or logged_rate())) / 3600

    def knobs(self) -> dict[str, Any]:
        """What to write under ``<profile>.train.<task>`` of ``params.yaml``; defaults left out."""
        defaults = {
            field.name: field.default
            for field in dataclasses.fields(TrainingConfig)
            if field.default is not dataclasses.MISSING
        }
        apart = {"seed", "device", "threads"}
        values = dataclasses.asdict(self.training) | {"batch": self.batch, "patch": self.patch}
        chosen = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in values.items()
            if key not in apart and (key not in defaults or value != defaults[key])
        }
        if self.mixup_after is not None:
            chosen["mixup_after"] = self.mixup_after
        if self.crops > 1:
            chosen["crops"] = self.crops
        if self.beside:
            chosen["beside"] = list(self.beside)
        if self.augment != "symmetries":
            chosen["augment"] = self.augment
        if self.choice is not None:
            chosen["validation"] = self.choice.knobs()
        return chosen

    def header(self, gpus: int = 8, flops_per_second: float | None = None) -> str:
        """What it is, what it costs and what the paper prints for it, a line each."""
        ratio = "" if self.network.ratio is None else f" {self.network.ratio} %"
        step = "" if self.step == 1 else f", step {self.step}"
        printed = expected(self.network.task, self.network.variant, self.network.ratio)
        rate = flops_per_second or logged_rate()
        source = "given" if flops_per_second else "the authors' log"
        choice = str(self.choice or "those of the last step")
        return "\n".join(
            [
                f"{self.name}: {self.network.task}{ratio} {self.network.variant}{step}",
                f"steps: {self.training.iterations:,} of {self.batch} x {self.patch} x "
                f"{self.patch}, {self.epochs:.1f} epochs of {self.samples:,}",
                f"cost: {self.flops / 1e18:.3g} EFLOP, {self.hours(gpus, rate):,.0f} hours on "
                f"{gpus} GPUs of {rate / 1e12:.3g} TFLOP/s each ({source})",
                "weights: " + choice,
                "the paper's PSNR: " + ", ".join(f"{s} {v} dB" for s, v in printed.items()),
            ]
        )


@functools.cache
def _forward_flops(network: DGUNetConfig, patch: int) -> int:
    return describe_network(network, (patch, patch)).flops


def logged_rate() -> float:
    """FLOP/s that one of the authors' GPUs sustained, from `LOGGED`."""
    recipe = released("derain", "DGUNet+")
    return recipe.flops / recipe.epochs / LOGGED / 2


def paper(task: str, variant: str = "DGUNet", *, ratio: int | None = None) -> Recipe:
    """Section 4.1 and 4.5 as printed: Eq. (10), Adam, warm-up and cosine.

    The text leaves open how long the warm-up is (here the released code's three epochs), how many
    blocks an epoch of compressive sensing has (here its 200 a photograph of BSD400), and which
    weights are the result (here the best on photographs that are held out from training).

    Raises:
        ConfigError: for an unknown name, or a ratio that does not fit.
    """
    network = preset(task, variant, architecture="paper", ratio=ratio)
    if task == "cs":
        training = TrainingConfig(iterations=125_000, learning_rate=1e-4, warmup=0)
        choice = Choice(5 * 625, 0, fraction=0.05)
        return Recipe("paper", network, training, 32, 128, 400 * CROPS, crops=CROPS, choice=choice)
    epoch = -(-SAMPLES[task] // 16)
    training = TrainingConfig(iterations=400_000, learning_rate=2e-4, warmup=3 * epoch)
    held_out = {"derain": 0.01, "deblur": 0.05, "denoise": 0.02}[task]
    choice = Choice(5_000, 256, fraction=held_out)
    return Recipe("paper", network, training, 256, 16, SAMPLES[task], choice=choice)


def released(
    task: str, variant: str = "DGUNet", *, ratio: int | None = None, step: int = 1
) -> Recipe:
    """As the authors' code trains: rates move once an epoch, losses and rates by task.

    Raises:
        ConfigError: for an unknown name, or a ratio or a step that does not fit.
    """
    if step not in ((1, 2) if task == "cs" else (1,)):
        raise ConfigError(
            f"step {step} of the {task} recipe", "Only compressive sensing (cs) has steps: 1 and 2."
        )
    network = preset(task, variant, ratio=ratio)
    if task == "cs":
        return _sensing(network, step)
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
        "derain": Choice(5 * epoch, 128, test_set="Rain100L"),
        "deblur": Choice(10 * epoch, 256, test_set="GoPro"),
        "denoise": Choice(epoch // 3 - 1, 256, test_set="SIDD"),
    }[task]
    recipe = Recipe("released", network, training, patch, 16, SAMPLES[task], choice=choice)
    if task == "deblur":
        return replace(recipe, augment="released")
    if task == "denoise":
        pause = "no validation in epochs 2-24, 26-44 and 46-60"
        return replace(recipe, mixup_after=5 * epoch, not_built=(pause,))
    return recipe


def _sensing(network: DGUNetConfig, step: int) -> Recipe:
    """Blocks of 32 from scratch; then crops of several blocks, to remove the blocks' edges.

    As shipped the second step cannot run (its crop and its block are swapped); 64 is the crop that
    its options name. In the first step a crop is one block, so that ``proximal_domain`` matters to
    the validation alone.
    """
    samples, batch = 1_200 * CROPS, 32
    epoch = samples // batch
    first = step == 1
    epochs, patch = (400, 32) if first else (100, 64)
    training = TrainingConfig(
        iterations=epochs * epoch,
        learning_rate=1e-4,
        learning_rate_min=1e-4,
        warmup=0,
        rate_every=epoch,
        halve_at=() if first else (60,),
        loss="l2-clamped",
    )
    return Recipe(
        "released",
        replace(network, proximal_domain="block" if first else "image"),
        training,
        patch,
        batch,
        samples,
        crops=CROPS,
        beside=("DIV2K",),
        augment="released",
        choice=Choice(epoch, 0, test_set="Set11"),
        step=step,
    )
