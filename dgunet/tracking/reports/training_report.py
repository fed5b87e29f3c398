"""What a training says while it goes on: numbers and pictures to MLflow, progress to the screen."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import psutil  # type: ignore[import-untyped]
import torch
from torch import Tensor, nn

from dgunet.imaging.strips import side_by_side
from dgunet.tracking import Run
from dgunet.tracking.reports.progress import ReportProgress
from dgunet.training import StepReport, ValidationReport

TIMES = 4
"""How often in a run its sample pictures are shown, the last time after the last step."""

PICTURES = 2
"""Sample pictures."""


class Watch:
    """Reports a training; for `dgunet.training.train` to call in the leading process.

    Args:
        run: the run in MLflow.
        tell: the progress on the screen.
        name: of the training, for lines beside the progress.
        batch: samples a step.
        network: restores the sample pictures.
        pictures: pairs (input, target), each (C, H, W) in [0, 1], the same at every time; at most
            ``PICTURES`` of them are shown.
        ids: the ids of the samples of a step.
    """

    def __init__(
        self,
        run: Run,
        tell: ReportProgress,
        *,
        name: str,
        batch: int,
        network: nn.Module,
        pictures: Sequence[tuple[Tensor, Tensor]],
        ids: Callable[[int], list[str]],
    ) -> None:
        self._run, self._tell, self._name = run, tell, name
        self._batch, self._network, self._ids = batch, network, ids
        self._pictures = pictures[:PICTURES]
        self._judged: dict[str, float] = {}
        self._process = psutil.Process()

    def step(self, report: StepReport) -> None:
        """After every step."""
        done, total = report.step + 1, report.iterations
        stages = {f"loss_stage_{k}": v for k, v in enumerate(report.stage_losses, start=1)}
        self._run.log_metrics(
            {
                "loss": report.loss,
                "learning_rate": report.learning_rate,
                "gradient_norm": report.gradient_norm,
                "images_per_second": self._batch / report.seconds,
            }
            | stages
            | self._memory(),
            step=report.step,
        )
        if report.skipped:
            self._left_out(report.step)
        if done in {max(1, total * part // TIMES) for part in range(1, TIMES + 1)}:
            self._show(done)
        facts = {"loss": report.loss, "lr": report.learning_rate} | self._judged
        self._tell(done, total, facts=facts)

    def validation(self, report: ValidationReport) -> None:
        """After every validation."""
        self._judged = {"validation_psnr": report.psnr}
        self._run.log_metrics(self._judged, step=report.steps - 1)

    def _memory(self) -> dict[str, float]:
        """The process's, and the largest that the GPU's tensors had."""
        used = {"memory_gib": self._process.memory_info().rss / 2**30}
        if torch.cuda.is_available():
            used["gpu_memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
        return used

    def _left_out(self, step: int) -> None:
        names = ", ".join(self._ids(step))
        print(
            f"dgunet: {self._name}: step {step} is left out, its loss or gradient is not finite; "
            f"samples: {names}",
            file=sys.stderr,
        )
        self._run.set_tags({"skipped.step": str(step), "skipped.samples": names[:5000]})

    def _show(self, done: int) -> None:
        device = next(self._network.parameters()).device
        for number, (degraded, target) in enumerate(self._pictures, start=1):
            with torch.no_grad():
                restored = self._network(degraded[None].to(device))[-1][0].clamp(0, 1)
            images = (degraded, restored.cpu(), target)
            strip = side_by_side([image.permute(1, 2, 0).float().numpy() for image in images])
            self._run.log_image(strip, f"samples/{number}/step-{done:09d}.png")
