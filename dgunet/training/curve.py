"""Loss curve of a training run, with one report per step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dgunet.training.validation import ValidationReport


@dataclass(frozen=True)
class StepReport:
    """Report of one optimiser step; the losses are those before the weight update."""

    step: int
    iterations: int
    loss: float
    stage_losses: tuple[float, ...]
    learning_rate: float
    gradient_norm: float
    """L2 norm over all parameters, before clipping."""
    seconds: float
    """Duration of the whole step, including data loading and optimiser. A GPU runs the optimiser
    asynchronously, so its time may count towards the next step."""

    @property
    def skipped(self) -> bool:
        """Whether the loss or the gradient was not finite, so that the weights did not change."""
        return not (math.isfinite(self.loss) and math.isfinite(self.gradient_norm))


@dataclass(frozen=True)
class TrainingResult:
    """Loss curve and validations of a finished training run."""

    reports: tuple[StepReport, ...]
    validations: tuple[ValidationReport, ...] = ()

    @property
    def skipped(self) -> tuple[int, ...]:
        """Indices of the steps whose update was skipped."""
        return tuple(report.step for report in self.reports if report.skipped)

    @property
    def selected(self) -> ValidationReport | None:
        """Validation whose weights are the result; None if they are those of the last step."""
        return max((v for v in self.validations if v.best), key=lambda v: v.steps, default=None)

    @property
    def first_loss(self) -> float:
        """Mean loss over the first tenth of the steps, without skipped ones."""
        return self._mean(self.reports[: self._tenth])

    @property
    def last_loss(self) -> float:
        """Mean loss over the last tenth of the steps, without skipped ones."""
        return self._mean(self.reports[-self._tenth :])

    @property
    def _tenth(self) -> int:
        return max(1, len(self.reports) // 10)

    @staticmethod
    def _mean(reports: tuple[StepReport, ...]) -> float:
        losses = [report.loss for report in reports if not report.skipped]
        return math.fsum(losses) / len(losses) if losses else math.nan


def pack(reports: Sequence[StepReport]) -> Tensor:
    """Convert the reports without loss of precision to a float64 tensor (steps, 4 + stages)."""
    return torch.tensor(
        [[r.loss, r.learning_rate, r.gradient_norm, r.seconds, *r.stage_losses] for r in reports],
        dtype=torch.float64,
    )


def unpack(packed: Tensor, iterations: int) -> list[StepReport]:
    """Return the reports that `pack` converted."""
    return [
        StepReport(step, iterations, loss, tuple(stages), rate, norm, seconds)
        for step, (loss, rate, norm, seconds, *stages) in enumerate(packed.tolist())
    ]
