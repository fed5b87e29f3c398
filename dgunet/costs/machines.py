"""Machines that a run can be priced for: named GPUs, a given rate, or a probed machine.

>>> machine = named_machine("a100")
>>> machine.name, machine.memory
('A100-80GB', 80000000000)

Passes of an evaluation and of a training have a rate of their own where both were measured.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dgunet.network.size import count_operations
from dgunet.recipes.trainings import released
from dgunet.system.errors import ConfigError, DataError
from dgunet.system.reading import shorten

BACKWARD = 2
"""Cost of a backward pass, in forward passes."""

LOGGED_SECONDS = 1_738.0
LOGGED_GPUS = 2
"""Duration of an epoch of DGUNet+ for deraining, and the number of GPUs, from the authors' training
log. The log names no GPU; Section 4.1 says two V100."""

MATH = "float32, TF32 off"
"""The arithmetic that all rates are for. With torch's defaults, convolutions on an A100 or H100 use
TF32: faster, and not the arithmetic that the published numbers were made with."""


@dataclass(frozen=True)
class Gpu:
    """Published figures of one GPU.

    Attributes:
        name: model and memory.
        float32: peak FLOP/s outside of the tensor cores.
        tf32: peak FLOP/s of the tensor cores without sparsity; None where there is no TF32.
        memory: bytes.
        source: who states them.
    """

    name: str
    float32: float
    tf32: float | None
    memory: int
    source: str


NAMED_GPUS: dict[str, Gpu] = {
    gpu.name: gpu
    for gpu in (
        Gpu("V100-32GB", 15.7e12, None, 32 * 10**9, "NVIDIA V100 datasheet, SXM2"),
        Gpu("A100-80GB", 19.5e12, 156e12, 80 * 10**9, "NVIDIA A100 datasheet, SXM4"),
        Gpu("H100-80GB", 66.9e12, 494.7e12, 80 * 10**9, "NVIDIA H100 datasheet, SXM5"),
        Gpu("H200-141GB", 66.9e12, 494.7e12, 141 * 10**9, "NVIDIA H200 datasheet, SXM5"),
    )
}
"""The GPUs that costs are printed for, oldest first."""


@dataclass(frozen=True)
class MeasuredRates:
    """Rates that this project measured on one GPU.

    Attributes:
        evaluation: FLOP/s of forward passes of one image of 256x256.
        training: FLOP/s of forward and backward passes and Adam, 4 patches of 256x256.
        source: the files with the measurement.
    """

    evaluation: float
    training: float
    source: str


MEASURED = {
    "H200-141GB": MeasuredRates(
        evaluation=387_791_399_872 / 0.03211,
        training=4_653_496_798_464 / 0.4429,
        source="benchmarks/results/{inference,training}-nvidia-h200-torch2.11.0.json",
    )
}
"""Operations and median seconds of "derain DGUNet", plain float32, by GPU."""

LIKE = {"H100-80GB": "H200-141GB"}
"""GPUs that are taken to sustain what another one does, because the arithmetic units are the same
(datasheets); the H200's memory is faster, so that this is an upper bound."""


@dataclass(frozen=True)
class Probe:
    """How the rate of a machine was measured.

    Attributes:
        device: ``cpu`` or ``cuda``.
        threads: CPU threads of torch.
        load: load average of the last minute when the probe began; None if unknown.
        side: side of the square image in pixels.
        passes: number of timed forward passes; their median gives the rate.
        spread: difference of the slowest and the fastest pass, divided by the median.
        seconds: duration of the whole probe.
    """

    device: str
    threads: int
    load: float | None
    side: int
    passes: int
    spread: float
    seconds: float


@dataclass(frozen=True)
class Machine:
    """One GPU or computer, as far as costs depend on it.

    Attributes:
        name: model of the GPU, or what the user or the probe calls it.
        rate: sustained FLOP/s in float32, counted as in `dgunet.network.describe`.
        training_rate: the same in the steps of a training; None if only one rate is known.
        memory: bytes for networks and images; None if unknown.
        assumption: where the rate comes from, in one line.
        probe: measurements behind the rate; None if it was not measured here.
    """

    name: str
    rate: float
    memory: int | None
    assumption: str
    probe: Probe | None = None
    training_rate: float | None = None

    @property
    def is_cpu(self) -> bool:
        """Whether its rate was measured without a GPU, so that there are no GPU-hours."""
        return self.probe is not None and self.probe.device == "cpu"

    def seconds(self, operations: float, count: int = 1) -> float:
        """Return the duration of ``operations`` divided evenly among ``count`` such machines."""
        return operations / (self.rate * count)

    def training_seconds(self, operations: float) -> float:
        """Return the duration of the ``operations`` of a training's steps on one such machine."""
        return operations / (self.training_rate or self.rate)

    def content(self) -> dict[str, Any]:
        """Return the machine as a JSON object, for `from_content`."""
        return asdict(self)

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> Machine:
        """Restore a machine from `content`.

        Raises:
            DataError: if the object is not one that `content` returns.
        """
        try:
            probe = content["probe"]
            made = cls(**{**content, "probe": None if probe is None else Probe(**probe)})
            for rate in (made.rate, 1.0 if made.training_rate is None else made.training_rate):
                if not 0 < rate < float("inf"):
                    raise ValueError(f"rate is {rate}")
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"the stored probe of a machine is damaged ({shorten(str(error))}).",
                "Remove it; the machine is probed again.",
            ) from error
        return made


@functools.cache
def logged_rate() -> float:
    """Return the FLOP/s that one of the authors' GPUs sustained, from the epoch in their log."""
    recipe = released("derain", "DGUNet+")
    patch, batch = recipe.training.patch, recipe.training.batch
    one = count_operations(recipe.network, patch, patch)
    epoch = (1 + BACKWARD) * one * batch * recipe.steps_per_epoch
    return epoch / LOGGED_SECONDS / LOGGED_GPUS


def logged_share() -> float:
    """Return `logged_rate` as a fraction of the V100's peak in float32."""
    return logged_rate() / NAMED_GPUS["V100-32GB"].float32


def named_machines() -> list[Machine]:
    """Return `NAMED_GPUS`: measured, or at a fraction of their peak; each says which."""
    return [named_machine(name) for name in NAMED_GPUS]


def named_machine(name: str) -> Machine:
    """Return the GPU called ``name``, with or without its memory: ``A100`` or ``A100-80GB``.

    Raises:
        ConfigError: for an unknown GPU.
    """
    wanted = name.casefold()
    for gpu in NAMED_GPUS.values():
        full = gpu.name.casefold()
        if wanted in (full, full.partition("-")[0]):
            return _like_measured(gpu) or _from_log(gpu)
    raise ConfigError(
        f"unknown GPU {shorten(name)}.",
        f"Use one of {', '.join(NAMED_GPUS)}, or state what yours sustains with --tflops.",
    )


def _like_measured(gpu: Gpu) -> Machine | None:
    """Return the GPU at measured rates, its own or those of a GPU that it is `LIKE`."""
    other = LIKE.get(gpu.name, gpu.name)
    if (rates := MEASURED.get(other)) is None:
        return None
    both = (
        f"{rates.training / 1e12:.3g} TFLOP/s in trainings, {rates.evaluation / 1e12:.3g} in"
        f" evaluations, {MATH}"
    )
    about = (
        f"measured {both}; {rates.source}"
        if other == gpu.name
        else f"assumed {both}; as measured on an {other.partition('-')[0]}, whose arithmetic units"
        " are the same and whose memory is faster"
    )
    return Machine(gpu.name, rates.evaluation, gpu.memory, about, training_rate=rates.training)


def _from_log(gpu: Gpu) -> Machine:
    """Return the GPU at the fraction of its peak that the authors' V100 sustained."""
    peak = f"{logged_share():.0%} of {gpu.float32 / 1e12:g} TFLOP/s {MATH}"
    about = (
        f"{peak}; from the authors' log"
        if gpu.name.startswith("V100")
        else f"assumed {peak}; the share of the V100 in the authors' log"
    )
    return Machine(gpu.name, logged_share() * gpu.float32, gpu.memory, about)


def given_machine(tflops: float) -> Machine:
    """Return a GPU that sustains ``tflops`` TFLOP/s, as stated by the user."""
    return Machine("GPU", tflops * 1e12, None, f"{tflops:g} TFLOP/s sustained; given")


def chosen_machines(gpu: str | None = None, tflops: float | None = None) -> list[Machine]:
    """Return the machine that the options ``--gpu`` or ``--tflops`` name, else all named ones.

    Raises:
        ConfigError: for an unknown GPU, or for both options together.
    """
    if gpu is not None and tflops is not None:
        raise ConfigError("--gpu and --tflops together.", "Use one of them.")
    if tflops is not None:
        return [given_machine(tflops)]
    return named_machines() if gpu is None else [named_machine(gpu)]
