"""The report of a training: metrics, images and files to MLflow, progress to the terminal."""

from __future__ import annotations

import logging
import resource
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dgunet.network import DGUNet
from dgunet.recipes.naming import recipe_name
from dgunet.terms import DATA_TAG
from dgunet.tracking import Run
from dgunet.tracking.reports.example_images import ExampleImages
from dgunet.tracking.reports.progress import ReportProgress
from dgunet.tracking.reports.settings import all_settings, training_params
from dgunet.training import StepReport, ValidationReport
from dgunet.training.job import TrainingOutcome
from dgunet.training.preparation import PreparedTraining

logger = logging.getLogger(__name__)


class TrainingReport:
    """Reports a training to MLflow; the `TrainingReporter` of `dgunet.training.job`.

    Args:
        run: the run in MLflow.
        progress: shows the progress on the terminal.
        prepared: the training.
    """

    def __init__(self, run: Run, progress: ReportProgress, prepared: PreparedTraining) -> None:
        self._run, self._progress, self._prepared = run, progress, prepared
        self._ids: Callable[[int], list[str]] = lambda step: []
        self._show: Callable[[int], None] = lambda done: None
        self._params: dict[str, Any] = {}
        self._validation: dict[str, float] = {}
        self._shown: dict[str, float] = {}

    def facts(self) -> Mapping[str, str]:
        """Journal and id of the run, by which a resumed training continues it."""
        return {"journal": self._run.journal_id, "run_id": self._run.run_id or ""}

    def started(
        self,
        network: DGUNet,
        ids: Callable[[int], list[str]],
        images: Sequence[tuple[Tensor, Tensor]],
    ) -> None:
        """Log settings, structure and data before the first step."""
        self._ids = ids
        inputs, manifest = self._prepared.inputs, self._prepared.pairs.manifest
        self._show = ExampleImages(self._run, network, images, inputs.settings).show
        self._params = training_params(inputs, network)
        self._run.log_params(self._params)
        self._run.log_json(all_settings(inputs), "settings.json")
        self._run.set_tags(
            {DATA_TAG: manifest.digest, "recipe": recipe_name(inputs.settings, inputs.network)}
        )
        self._run.log_dataset(
            f"{manifest.dataset} ({manifest.profile})",
            manifest.digest,
            source_uri=inputs.store.as_posix(),
            context="training",
        )
        if self._prepared.earlier is None:
            self._show(0)

    def on_step(self, report: StepReport, /) -> None:
        """Log the metrics of a step; without validation, also example images.

        The learning rate is in ``loss.csv``: it follows from the settings.
        """
        done, total = report.step + 1, report.iterations
        stages = {f"loss_stage_{k}": v for k, v in enumerate(report.stage_losses, start=1)}
        self._run.log_metrics(
            {
                "loss": report.loss,
                "gradient_norm": report.gradient_norm,
                "images_per_second": self._prepared.inputs.settings.batch / report.seconds,
            }
            | stages,
            step=report.step,
        )
        if report.skipped:
            self._log_skipped(report.step)
        if self._prepared.validation is None:
            self._show(done)
        self._shown = {"loss": report.loss, "lr": report.learning_rate}
        self._progress(done, total, facts=self._shown | self._validation)

    def on_validation(self, report: ValidationReport, /) -> None:
        """Log the PSNR of a validation, and example images."""
        self._validation = {"validation_psnr": report.psnr}
        self._run.log_metrics(self._validation, step=report.steps - 1)
        self._show(report.steps)
        total = self._prepared.inputs.settings.iterations
        self._progress(report.steps, total, facts=self._shown | self._validation)

    def diverged(self, samples: Path) -> None:
        """Log the file that names the samples of the divergent step."""
        self._run.log_artifact(samples)

    def finished(self, outcome: TrainingOutcome) -> None:
        """Log the result: mean losses, selection, files and network."""
        result, digest = outcome.result, outcome.checkpoint_sha256
        self._run.log_metrics(
            {"loss_first": result.first_loss, "loss_last": result.last_loss} | _memory()
        )
        self._run.set_tags({"selection": outcome.selection.how})
        self._run.describe_result(
            f"**Loss {result.first_loss:.4g} \u2192 {result.last_loss:.4g}** (means of the first"
            f" and the last tenth of the steps). Weights of step {outcome.selection.step}"
            f" ({outcome.selection.how})."
        )
        for path in outcome.files:
            self._run.log_artifact(path)
        self._run.log_network(
            outcome.weights,
            name=self._prepared.inputs.key,
            step=outcome.selection.step,
            tags=outcome.selection.facts(),
            params=self._params,
        )
        self._run.set_result(checkpoint=digest)

    def _log_skipped(self, step: int) -> None:
        names = ", ".join(self._ids(step))
        logger.warning(
            "%s: step %d is skipped because its loss or gradient is not finite; samples: %s",
            self._prepared.inputs.key,
            step,
            names,
        )
        self._run.set_tags({"skipped.step": str(step), "skipped.samples": names[:5000]})


def _memory() -> dict[str, float]:
    """Peak resident memory of this process and peak memory of tensors on the GPU, in GiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # KiB on Linux
    used = {"memory_gib": peak / 2**30}
    if torch.cuda.is_available():
        used["gpu_memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
    return used
