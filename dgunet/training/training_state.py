"""State of a training run that changes with each step, and its conversion to a checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dgunet.config import TrainingSettings
from dgunet.training.checkpoints import Snapshot
from dgunet.training.curve import StepReport, TrainingResult, pack, unpack
from dgunet.training.distributed import World
from dgunet.training.schedule import rate_schedule
from dgunet.training.validation import Validation, ValidationReport

Generators = dict[str, Tensor]
"""States of the torch random generators of a process, by device type."""


def generators() -> Generators:
    """Return this process's generator states: of the CPU, and of its GPU if there is one."""
    cuda = {"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else {}
    return {"cpu": torch.get_rng_state()} | cuda


class TrainingState:
    """Network, optimiser, schedule, moving average and curve after ``step`` optimiser steps.

    Samples, crops, augmentation and MixUp are drawn from generators seeded by (seed, step,
    position), so the step alone determines the state of the sampler in every process.

    Args:
        network: the network that is trained.
        settings: the hyperparameters.
        fused: run Adam's update as one kernel, also if the settings do not ask for it.
    """

    def __init__(
        self, network: nn.Module, settings: TrainingSettings, *, fused: bool = False
    ) -> None:
        self.network = network
        self.settings = settings
        self.optimizer = torch.optim.Adam(
            [p for p in network.parameters() if p.requires_grad],
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=settings.fused_adam or fused or None,
        )
        self.schedule = rate_schedule(self.optimizer, settings)
        self.average = (
            AveragedModel(
                network,
                multi_avg_fn=get_ema_multi_avg_fn(settings.average),  # type: ignore[no-untyped-call]
            )
            if settings.average
            else None
        )
        self.reports: list[StepReport] = []
        self.validations: list[ValidationReport] = []
        self._best: dict[str, Tensor] | None = None

    @property
    def candidate(self) -> nn.Module:
        """The network to validate: the averaged one, if averaging is enabled."""
        return self.network if self.average is None else self.average.module

    @property
    def step(self) -> int:
        """Index of the next step, which equals the number of completed steps."""
        return len(self.reports)

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return float(self.optimizer.param_groups[0]["lr"])

    @property
    def skipped(self) -> int:
        """Number of skipped steps."""
        return sum(report.skipped for report in self.reports)

    def advance(self, report: StepReport, started: float) -> StepReport:
        """Take an optimiser step with the current gradients, and advance the schedule.

        A skipped step advances only the schedule: without gradients, the optimiser changes neither
        weights nor moments.

        Returns:
            The report with the seconds since ``started``, a value of `time.perf_counter`.
        """
        if report.skipped:
            self.optimizer.zero_grad(set_to_none=True)
        self.optimizer.step()
        if self.average is not None and not report.skipped:
            self.average.update_parameters(self.network)
        if (self.step + 1) % self.settings.rate_every == 0:
            self.schedule.step()
        self.reports.append(replace(report, seconds=time.perf_counter() - started))
        return self.reports[-1]

    def validation_due(self, validation: Validation | None) -> bool:
        """Return whether ``validation`` is due after the completed steps and has not been made."""
        made = self.validations[-1].steps if self.validations else 0
        due = validation and validation.due(self.step, self.settings.iterations)
        return bool(due) and made < self.step

    def validated(self, psnr: float) -> ValidationReport:
        """Record a validation of the candidate; keep the weights with the highest PSNR."""
        earlier = [v.psnr for v in self.validations if v.best]
        best = math.isfinite(psnr) and (not earlier or psnr > max(earlier))
        if best:
            weights = self.candidate.state_dict()
            self._best = {name: tensor.cpu().clone() for name, tensor in weights.items()}
        self.validations.append(ValidationReport(self.step, psnr, best))
        return self.validations[-1]

    def finish(self) -> TrainingResult:
        """Load the best validated weights, or the candidate's, and move the network to the CPU."""
        self.network.load_state_dict(self._best or self.candidate.state_dict())
        self.network.to("cpu").eval()
        return TrainingResult(tuple(self.reports), tuple(self.validations))

    def snapshot(self, states: Sequence[Generators]) -> Snapshot:
        """Return tensors and plain values; ``states`` are the generators of all processes."""
        kept: dict[str, Any] = {
            "step": self.step,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "average": self.average.state_dict() if self.average is not None else None,
            "curve": pack(self.reports),
            "validations": [(v.steps, v.psnr, v.best) for v in self.validations],
            "best": self._best,
            "rng": list(states),
        }
        return kept

    def restore(self, snapshot: Snapshot, world: World) -> None:
        """Restore the state of ``snapshot``.

        With another number of processes, the generators are not restored. Neither samples nor
        layers use them.
        """
        self.network.load_state_dict(snapshot["network"])
        self.optimizer.load_state_dict(snapshot["optimizer"])
        self.schedule.load_state_dict(snapshot["schedule"])
        if self.average is not None:
            self.average.load_state_dict(snapshot["average"])
        self.reports = unpack(snapshot["curve"], self.settings.iterations)
        self.validations = [ValidationReport(*fields) for fields in snapshot["validations"]]
        self._best = snapshot["best"]
        if len(snapshot["rng"]) == world.size:
            own: Generators = snapshot["rng"][world.rank]
            torch.set_rng_state(own["cpu"])
            if "cuda" in own and torch.cuda.is_available():
                torch.cuda.set_rng_state(own["cuda"])
