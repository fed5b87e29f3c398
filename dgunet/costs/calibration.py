"""The rates of a machine in evaluations and trainings, measured once and kept in a file."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from dgunet.config import RuntimeSettings, TrainingSettings
from dgunet.costs.machines import Machine, chosen_machines
from dgunet.costs.probe import Observe, probe_machine
from dgunet.costs.timing import time_largest
from dgunet.costs.training_cost import training_cost
from dgunet.network import DGUNet, DGUNetConfig, preset
from dgunet.network.devices import thread_count
from dgunet.network.kernels import tf32
from dgunet.system import files
from dgunet.system.errors import ConfigError, DataError
from dgunet.system.reading import read_mapping
from dgunet.training.distributed import World
from dgunet.training.step import TrainingSteps

PATCHES = ((1, 32), (1, 64), (1, 128), (1, 256), (4, 256))
"""Samples and side of the batches that are tried; the rate is that of the largest whose steps fit
into the time. The paper's deraining has 2 to 4 patches of 256x256 on each GPU."""

MOST = 30
"""Most steps that are timed."""

MEMORY = 0.7
"""Part of the free memory that a batch may take by its estimate."""

SHARE = 0.5
"""Part of the time that the evaluation rate gets; the training rate gets the rest."""


def calibrate(
    seconds: float = 60.0,
    *,
    config: DGUNetConfig | None = None,
    device: str = "auto",
    threads: int = 0,
    observe: Observe | None = None,
) -> Machine:
    """Measure the FLOP/s that this machine sustains in forward passes and in training steps.

    The first is `probe_machine`. The second is the median of real optimiser steps, float32, on
    noise; see `PATCHES`. A short run does not show what a card does when it is hot, or when other
    cards of the node are busy.

    Args:
        seconds: most seconds in all; two passes and three steps of the smallest size always
            run.
        config: the network; DGUNet for deraining by default.
        device: "auto", "cpu" or "cuda".
        threads: CPU threads; 0 means as many as torch chooses and this process may use.
        observe: receives the progress.

    Raises:
        ConfigError: if ``seconds`` is not positive, or the device is unknown.
        DgunetError: if ``cuda`` is requested and there is no GPU.
    """
    with tf32(on=False):  # torch's default for convolutions on a GPU is on
        return _measured(seconds, config, device, threads, observe)


def _measured(
    seconds: float,
    config: DGUNetConfig | None,
    device: str,
    threads: int,
    observe: Observe | None,
) -> Machine:
    begin = time.perf_counter()
    network = config or preset("derain")

    def told(done: float, _: float) -> None:
        if observe is not None:
            observe(min(done, seconds), seconds)

    machine = probe_machine(
        seconds * SHARE, config=network, device=device, threads=threads, observe=told
    )
    assert machine.probe is not None
    timed = _TrainingTimer(network, machine, begin, seconds, told)
    with thread_count(threads):
        (samples, side), times = timed.measure()
    operations = training_cost(network, _settings(samples, side)).operations
    rate = operations / statistics.median(times)
    spread = (max(times) - min(times)) / statistics.median(times)
    about = (
        f"{machine.assumption}; {rate / 1e12:.3g} TFLOP/s in trainings, the median of {len(times)}"
        f" steps on {samples} x {side}x{side} pixels (spread {spread:.0%})"
    )
    return replace(machine, assumption=about, training_rate=rate)


def write_calibration(path: Path, machine: Machine) -> None:
    """Keep a measured machine in ``path``, for `read_calibration`."""
    files.write_json(path, machine.content())


def read_calibration(path: Path) -> Machine:
    """Read a machine that `write_calibration` or the plan of a campaign kept.

    Raises:
        ConfigError: if there is no such file.
        DataError: if it is damaged, or its rate was not measured; the message names it.
    """
    try:
        machine = Machine.from_content(read_mapping(path))
    except FileNotFoundError:
        raise ConfigError(
            f"there is no calibration {path}.",
            f"Make it on the machine: dgunet calibrate --out {path.name}",
        ) from None
    except DataError as error:
        raise DataError(f"{path}: {error.message}", "Make it anew: dgunet calibrate.") from error
    if machine.probe is None:
        raise DataError(f"{path}: the rate was not measured.", "Make it anew: dgunet calibrate.")
    return machine


def compared_machines(
    gpu: str | None = None, tflops: float | None = None, calibration: Path | None = None
) -> list[Machine]:
    """Return the machine that ``--gpu``, ``--tflops`` or ``--calibration`` names, else all GPUs.

    Raises:
        ConfigError: for an unknown GPU, an absent file, or for two of the options together.
        DataError: for a damaged file.
    """
    if calibration is None:
        return chosen_machines(gpu, tflops)
    if gpu is not None or tflops is not None:
        other = "--gpu" if gpu is not None else "--tflops"
        raise ConfigError(f"--calibration and {other} together.", "Use one of them.")
    return [read_calibration(calibration)]


def kept_machine(path: Path, seconds: float, observe: Observe | None = None) -> Machine:
    """Return the calibration in ``path``; measure the machine and keep it if there is none.

    A damaged file, or one without the rate of trainings, is measured again.

    Raises:
        DgunetError: as `calibrate`.
    """
    if path.is_file():
        try:
            kept = read_calibration(path)
        except DataError:
            kept = None
        if kept is not None and kept.training_rate is not None:
            return kept
    machine = calibrate(seconds, observe=observe)
    write_calibration(path, machine)
    return machine


def _settings(samples: int, side: int) -> TrainingSettings:
    return TrainingSettings(iterations=1, batch=samples, patch=side, learning_rate=1e-4, warmup=0)


def _pixels(batch: tuple[int, int]) -> int:
    samples, side = batch
    return samples * side**2


class _Noise:
    """The same ``samples`` of ``side`` x ``side`` pixels for every step."""

    def __init__(self, samples: int, channels: int, side: int) -> None:
        self.batch = samples
        generator = torch.Generator().manual_seed(0)
        shape = (2, samples, channels, side, side)
        self.pair = torch.rand(shape, generator=generator)

    def part(self, step: int, positions: Sequence[int], /) -> tuple[Tensor, Tensor]:
        """Return the samples at ``positions``."""
        degraded, target = self.pair[:, list(positions)]
        return degraded, target


class _TrainingTimer:
    """Timed training steps of one network until ``seconds`` after ``begin``."""

    def __init__(
        self, config: DGUNetConfig, machine: Machine, begin: float, seconds: float, told: Observe
    ) -> None:
        assert machine.probe is not None
        self.config, self.memory = config, machine.memory
        self.runtime = RuntimeSettings(
            device="cuda" if machine.probe.device == "cuda" else "cpu",
            threads=machine.probe.threads,
        )
        self.begin, self.seconds, self.told = begin, seconds, told

    def measure(self) -> tuple[tuple[int, int], list[float]]:
        """Return the largest batch that was timed (samples, side), and the seconds of its steps."""
        multiple = self.config.multiple
        batches = sorted({(samples, max(side, multiple)) for samples, side in PATCHES})
        batches.sort(key=_pixels)
        return time_largest(
            batches,
            self._prepared,
            self._left,
            work=_pixels,
            fits=lambda batch: self._fits(*batch),
            most=MOST,
            least=2,
        )

    def _prepared(self, batch: tuple[int, int]) -> Callable[[], float]:
        steps = self._steps(*batch)
        return lambda: self._step(steps)

    def _fits(self, samples: int, side: int) -> bool:
        """Return whether steps on such a batch fit into `MEMORY` of what was free."""
        needed = training_cost(self.config, _settings(samples, side)).memory()
        return self.memory is None or needed is None or needed < MEMORY * self.memory

    def _steps(self, samples: int, side: int) -> TrainingSteps:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = DGUNet(self.config)
        noise = _Noise(samples, self.config.channels, side)
        settings = _settings(samples, side).model_copy(update={"iterations": 1 << 20})
        return TrainingSteps(network, noise, settings, self.runtime, world=World())

    def _step(self, steps: TrainingSteps) -> float:
        start = time.perf_counter()
        steps()
        if self.runtime.device == "cuda":
            torch.cuda.synchronize()  # the optimiser is still at work when a step returns
        took = time.perf_counter() - start
        self.told(time.perf_counter() - self.begin, self.seconds)
        return took

    def _left(self) -> float:
        return self.begin + self.seconds - time.perf_counter()
