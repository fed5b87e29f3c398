"""The loss curve of a training: one report for each step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dgunet.training.validation import ValidationReport


@dataclass(frozen=True)
class StepReport:
    """One optimiser step; the losses are those before the weights change."""

    step: int
    iterations: int
    loss: float
    stage_losses: tuple[float, ...]
    learning_rate: float
    gradient_norm: float
    """L2 norm over all parameters, before clipping."""
    seconds: float
    """Duration of the whole step, including data and optimiser. A GPU runs the optimiser
    asynchronously, so its time may count towards the next step."""

    @property
    def skipped(self) -> bool:
        """Whether loss or gradient was not finite, so that the weights did not change."""
        return not (math.isfinite(self.loss) and math.isfinite(self.gradient_norm))


@dataclass(frozen=True)
class TrainingResult:
    """The loss curve of a finished training and its validations."""

    reports: tuple[StepReport, ...]
    validations: tuple[ValidationReport, ...] = ()

    @property
    def skipped(self) -> tuple[int, ...]:
        """The steps whose update was skipped."""
        return tuple(report.step for report in self.reports if report.skipped)

    @property
    def selected(self) -> ValidationReport | None:
        """The validation whose weights are the result; None: the weights of the last step."""
        return max((v for v in self.validations if v.best), key=lambda v: v.steps, default=None)

    @property
    def first_loss(self) -> float:
        """Mean loss of the first tenth of the steps, without skipped ones."""
        return self._mean(self.reports[: self._tenth])

    @property
    def last_loss(self) -> float:
        """Mean loss of the last tenth of the steps, without skipped ones."""
        return self._mean(self.reports[-self._tenth :])

    @property
    def _tenth(self) -> int:
        return max(1, len(self.reports) // 10)

    @staticmethod
    def _mean(reports: tuple[StepReport, ...]) -> float:
        losses = [report.loss for report in reports if not report.skipped]
        return math.fsum(losses) / len(losses) if losses else math.nan


def pack(reports: Sequence[StepReport]) -> Tensor:
    """The reports without loss of precision, as float64 (steps, 4 + stages)."""
    return torch.tensor(
        [[r.loss, r.learning_rate, r.gradient_norm, r.seconds, *r.stage_losses] for r in reports],
        dtype=torch.float64,
    )


def unpack(packed: Tensor, iterations: int) -> list[StepReport]:
    """The reports that `pack` stored."""
    return [
        StepReport(step, iterations, loss, tuple(stages), rate, norm, seconds)
        for step, (loss, rate, norm, seconds, *stages) in enumerate(packed.tolist())
    ]
