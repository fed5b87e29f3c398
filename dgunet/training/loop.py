"""One training run: batches in, a trained network and its loss curve out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dgunet.errors import DgunetError
from dgunet.training.loss import stage_losses
from dgunet.training.schedule import warmup_cosine

Batches = Callable[[int], tuple[Tensor, Tensor]]
"""Step number, from 0, to (input, target), each (B, C, H, W) float32 in [0, 1]."""


class DivergedError(DgunetError):
    """The loss or a gradient is no longer a finite number."""


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides the weights, beside the data and the network."""

    iterations: int
    learning_rate: float
    warmup: int
    learning_rate_min: float = 1e-6
    seed: int = 1234
    device: str = "cpu"
    threads: int = 0


@dataclass(frozen=True)
class StepReport:
    """What one optimiser step tells: losses are those before the step."""

    step: int
    iterations: int
    loss: float
    stage_losses: tuple[float, ...]
    learning_rate: float
    seconds: float


@dataclass(frozen=True)
class TrainingResult:
    """The curve of a finished run, one report a step."""

    reports: tuple[StepReport, ...]

    @property
    def first_loss(self) -> float:
        """Mean loss of the first tenth of the steps."""
        return self._mean(self.reports[: self._tenth])

    @property
    def last_loss(self) -> float:
        """Mean loss of the last tenth of the steps."""
        return self._mean(self.reports[-self._tenth :])

    @property
    def _tenth(self) -> int:
        return max(1, len(self.reports) // 10)

    @staticmethod
    def _mean(reports: tuple[StepReport, ...]) -> float:
        return math.fsum(report.loss for report in reports) / len(reports)


def pick_device(wanted: str) -> str:
    """Resolve ``auto`` to the GPU if there is one.

    Raises:
        DgunetError: if a GPU is asked for and there is none.
    """
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise DgunetError(
            "device is 'cuda', but torch sees no GPU here.", "Set runtime.device to auto or cpu."
        )
    return "cuda" if available and wanted in ("auto", "cuda") else "cpu"


@contextmanager
def thread_count(threads: int) -> Iterator[None]:
    """Run the block with ``threads`` CPU threads (0: as it is), then restore.

    Sums are split over threads, so the last bits of a training run depend on their number.
    """
    before = torch.get_num_threads()
    if threads:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train(
    network: nn.Module,
    batches: Batches,
    config: TrainingConfig,
    *,
    observe: Callable[[StepReport], None] = lambda report: None,
) -> TrainingResult:
    """Minimise Eq. (10) with Adam; leaves the trained weights in ``network``, on the CPU.

    Args:
        network: maps an input (B, C, H, W) to the list of its stage outputs.
        batches: the batch of each step; see `Batches`.
        config: the hyper-parameters.
        observe: called after every step.

    Raises:
        DivergedError: if the loss becomes infinite or NaN, naming step and rate.
    """
    device = torch.device(pick_device(config.device))
    network.to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    schedule = warmup_cosine(
        optimizer,
        warmup=config.warmup,
        iterations=config.iterations,
        minimum=config.learning_rate_min,
    )
    reports = []
    with thread_count(config.threads):
        for step in range(config.iterations):
            started = time.perf_counter()
            degraded, target = (tensor.to(device) for tensor in batches(step))
            losses = stage_losses(network(degraded), target)
            loss = losses.sum()
            rate = optimizer.param_groups[0]["lr"]
            _refuse_divergence(loss, step, rate)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            reports.append(
                StepReport(
                    step=step,
                    iterations=config.iterations,
                    loss=loss.item(),
                    stage_losses=tuple(losses.tolist()),
                    learning_rate=rate,
                    seconds=time.perf_counter() - started,
                )
            )
            observe(reports[-1])
    network.to("cpu").eval()
    return TrainingResult(tuple(reports))


def _refuse_divergence(loss: Tensor, step: int, rate: float) -> None:
    if not torch.isfinite(loss):
        raise DivergedError(
            f"the loss is {loss.item()} at step {step} (learning rate {rate:.3g}).",
            "Lower the learning rate or lengthen the warm-up.",
        )
