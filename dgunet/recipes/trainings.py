"""Training recipes of the paper and of the released code: network, data and optimiser.

>>> recipe = released("derain")
>>> recipe.training.iterations, recipe.epochs
(214250, 250.0)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from dgunet.config import TrainingSettings, ValidationSettings
from dgunet.data.catalogue.entries import dataset
from dgunet.network import DGUNetConfig, preset
from dgunet.system.errors import ConfigError

SAMPLES = {
    "derain": dataset("Rain13K").pairs,
    "deblur": dataset("GoPro-train").pairs,
    "denoise": 300 * dataset("SIDD-train").pairs,
}
"""Samples per epoch of the RGB tasks: photographs; for denoising, 300 patches cut from each.

The released code counts the files of its folder. The 13,711 pairs of Rain13K and the printed 13,712
both make 857 steps per epoch."""

CROPS = 200
"""Crops of each photograph per epoch of compressive sensing."""

_WRITTEN_LAST = ("batch", "patch", "mixup_after", "crops", "beside", "augment")
_VALIDATION_ORDER = ("interval", "crop", "fraction", "test_set")


@dataclass(frozen=True)
class Recipe:
    """Training recipe of one table row; `dgunet.costs.training_cost` computes what it costs."""

    name: Literal["paper", "released"]
    network: DGUNetConfig
    training: TrainingSettings
    samples: int
    """Samples per epoch."""
    step: int = 1
    """Compressive sensing has two training steps; the second starts from the first's weights."""
    not_built: tuple[str, ...] = ()
    """Parts of the original training that this project does not implement."""

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps per epoch, including an incomplete last batch."""
        return -(-self.samples // self.training.batch)

    @property
    def epochs(self) -> float:
        """Number of times that the training uses every sample."""
        return self.training.iterations / self.steps_per_epoch

    @property
    def epochs_not_held_out(self) -> float:
        """Number of times that the training uses every sample that validation leaves it."""
        validation = self.training.validation
        fraction = validation.fraction if validation and validation.fraction else 0.0
        return self.training.iterations * self.training.batch / (self.samples * (1 - fraction))

    def params_entry(self) -> dict[str, Any]:
        """Return the entry for ``<profile>.train.<task>`` of ``params.yaml``, without defaults."""
        changed = self.training.model_dump(exclude_defaults=True, exclude={"validation"})
        late = {key: changed.pop(key) for key in _WRITTEN_LAST if key in changed}
        entry = {k: list(v) if isinstance(v, tuple) else v for k, v in (changed | late).items()}
        if (validation := self.training.validation) is not None:
            values = {key: getattr(validation, key) for key in _VALIDATION_ORDER}
            entry["validation"] = {key: value for key, value in values.items() if value}
        return entry


def paper(task: str, variant: str = "DGUNet", *, ratio: int | None = None) -> Recipe:
    """Return the recipe of Sections 4.1 and 4.5 as printed: Eq. (10), Adam, warm-up and cosine.

    The text does not specify four settings. The rate of compressive sensing is constant, as in the
    released code, because the text names one rate and no schedule. The length of the warm-up is
    three epochs, as in the released code. An epoch of compressive sensing has 200 blocks for each
    photograph of BSD400, as in the released code. The result is the best weights on photographs
    held out from the training.

    Args:
        task: derain, deblur, denoise or cs.
        variant: DGUNet or DGUNet+.
        ratio: percent of measurements, for cs only.

    Raises:
        ConfigError: for an unknown name, or a ratio that does not fit the task.
    """
    network = preset(task, variant, architecture="paper", ratio=ratio)
    if task == "cs":
        training = TrainingSettings(
            iterations=125_000,
            batch=128,
            patch=32,
            learning_rate=1e-4,
            learning_rate_min=1e-4,
            warmup=0,
            crops=CROPS,
            validation=ValidationSettings(interval=5 * 625, fraction=0.05),
        )
        return Recipe("paper", network, training, 400 * CROPS)
    held_out = {"derain": 0.01, "deblur": 0.05, "denoise": 0.02}[task]
    training = TrainingSettings(
        iterations=400_000,
        batch=16,
        patch=256,
        learning_rate=2e-4,
        warmup=3 * _steps_per_epoch(task),
        validation=ValidationSettings(interval=5_000, crop=256, fraction=held_out),
    )
    return Recipe("paper", network, training, SAMPLES[task])


def released(
    task: str, variant: str = "DGUNet", *, ratio: int | None = None, step: int = 1
) -> Recipe:
    """Return the recipe of the authors' code: one rate update per epoch, a loss for each task.

    Args:
        task: derain, deblur, denoise or cs.
        variant: DGUNet or DGUNet+.
        ratio: percent of measurements, for cs only.
        step: 2 for the second training step of cs, which starts from the weights of the first.

    Raises:
        ConfigError: for an unknown name, or a ratio or a step that does not fit the task.
    """
    if step not in ((1, 2) if task == "cs" else (1,)):
        raise ConfigError(
            f"the {task} recipe has no step {step}.",
            "Only compressive sensing (cs) has two steps, 1 and 2.",
        )
    network = preset(task, variant, ratio=ratio)
    if task == "cs":
        return _sensing(network, step)
    rate, epochs, period, patch = _RELEASED[task]
    epoch = _steps_per_epoch(task)
    training = TrainingSettings(
        iterations=epochs * epoch,
        batch=16,
        patch=patch,
        learning_rate=rate,
        warmup=3,
        rate_every=epoch,
        rate_period=period,
        augment="released" if task == "deblur" else "symmetries",
        loss="charbonnier-clamped" if task == "denoise" else "charbonnier-edge",
        weight_decay=1e-8 if task == "denoise" else 0.0,
        mixup_after=5 * epoch if task == "denoise" else None,
        validation=_released_validation(task),
    )
    recipe = Recipe("released", network, training, SAMPLES[task])
    if task == "denoise":
        pause = "no validation in epochs 2-24, 26-44 and 46-60"
        return replace(recipe, not_built=(pause,))
    return recipe


_RELEASED = {
    "derain": (2e-4, 250, 247, 256),
    "deblur": (1e-4, 3000, 2997, 256),
    "denoise": (1e-4, 80, 117, 128),
}
"""Learning rate, epochs, epochs from the start of the cosine to its minimum, and patch side."""


def _released_validation(task: str) -> ValidationSettings:
    epoch = _steps_per_epoch(task)
    return {
        "derain": ValidationSettings(interval=5 * epoch, crop=128, test_set="Rain100L"),
        "deblur": ValidationSettings(interval=10 * epoch, crop=256, test_set="GoPro"),
        "denoise": ValidationSettings(interval=epoch // 3 - 1, crop=256, test_set="SIDD"),
    }[task]


def _steps_per_epoch(task: str) -> int:
    return -(-SAMPLES[task] // 16)


def _sensing(network: DGUNetConfig, step: int) -> Recipe:
    """Return the recipe of one training step of compressive sensing.

    The first step trains on single blocks of 32 x 32, from scratch. The second trains on crops of
    several blocks, to remove block artefacts. As shipped, the second step cannot run, because its
    crop and its block are swapped; 64 is the crop that its options name. In the first step a crop
    is one block, so ``proximal_domain`` affects only the validation.
    """
    samples, batch = 1_200 * CROPS, 32
    epoch = samples // batch
    first = step == 1
    epochs, patch = (400, 32) if first else (100, 64)
    training = TrainingSettings(
        iterations=epochs * epoch,
        batch=batch,
        patch=patch,
        learning_rate=1e-4,
        learning_rate_min=1e-4,
        warmup=0,
        augment="released",
        crops=CROPS,
        beside=("DIV2K",),
        rate_every=epoch,
        halve_at=() if first else (60,),
        loss="l2-clamped",
        validation=ValidationSettings(interval=epoch, test_set="Set11"),
    )
    network = replace(network, proximal_domain="block" if first else "image")
    return Recipe("released", network, training, samples, step=step)
