"""The report of a training: metrics, images and files to MLflow, progress to the terminal."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import torch
from torch import Tensor, nn

from dgunet.imaging.strips import side_by_side
from dgunet.network import DGUNet
from dgunet.recipes.naming import recipe_name
from dgunet.terms import CHECKPOINT_TAG, DATA_TAG
from dgunet.tracking import Run
from dgunet.tracking.reports.network_numbers import numeric_params
from dgunet.tracking.reports.progress import ReportProgress
from dgunet.training import StepReport, ValidationReport
from dgunet.training.job import TrainingOutcome
from dgunet.training.preparation import PreparedTraining, flat

IMAGE_REPORTS = 4
"""How many times a training logs its example images; the last time is after the last step."""

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
        self._network: nn.Module | None = None
        self._ids: Callable[[int], list[str]] = lambda step: []
        self._images: Sequence[tuple[Tensor, Tensor]] = ()
        self._validation: dict[str, float] = {}
        self._process = psutil.Process()

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
        self._network, self._ids, self._images = network, ids, images
        inputs, manifest = self._prepared.inputs, self._prepared.pairs.manifest
        self._run.log_params(flat({"train": inputs.settings.model_dump(), "seed": inputs.seed}))
        self._run.log_params(
            flat({"network": inputs.network.to_dict()}) | numeric_params(inputs.network, network)
        )
        self._run.set_tags(
            {
                DATA_TAG: manifest.digest,
                "train.data.digest": manifest.digest,
                "recipe": recipe_name(inputs.settings, inputs.network),
            }
        )
        self._run.log_dataset(
            f"{manifest.dataset} ({manifest.profile})",
            manifest.digest,
            source_uri=inputs.store.as_posix(),
            context="training",
        )

    def on_step(self, report: StepReport, /) -> None:
        """Log the metrics of a step, and example images at `IMAGE_REPORTS` of the steps."""
        done, total = report.step + 1, report.iterations
        stages = {f"loss_stage_{k}": v for k, v in enumerate(report.stage_losses, start=1)}
        self._run.log_metrics(
            {
                "loss": report.loss,
                "learning_rate": report.learning_rate,
                "gradient_norm": report.gradient_norm,
                "images_per_second": self._prepared.inputs.settings.batch / report.seconds,
            }
            | stages
            | self._memory(),
            step=report.step,
        )
        if report.skipped:
            self._log_skipped(report.step)
        if done in {max(1, total * part // IMAGE_REPORTS) for part in range(1, IMAGE_REPORTS + 1)}:
            self._log_images(done)
        facts = {"loss": report.loss, "lr": report.learning_rate} | self._validation
        self._progress(done, total, facts=facts)

    def on_validation(self, report: ValidationReport, /) -> None:
        """Log the PSNR of a validation."""
        self._validation = {"validation_psnr": report.psnr}
        self._run.log_metrics(self._validation, step=report.steps - 1)

    def diverged(self, samples: Path) -> None:
        """Log the file that names the samples of the divergent step."""
        self._run.log_artifact(samples)

    def finished(self, outcome: TrainingOutcome) -> None:
        """Log the result: mean losses, selection, files and network."""
        result, digest = outcome.result, outcome.checkpoint_sha256
        self._run.log_metrics({"loss_first": result.first_loss, "loss_last": result.last_loss})
        self._run.set_tags({CHECKPOINT_TAG: digest} | outcome.selection.facts())
        for path in outcome.files:
            self._run.log_artifact(path)
        self._run.log_network(outcome.weights, name=self._prepared.inputs.key)
        self._run.set_result(checkpoint=digest)

    def _memory(self) -> dict[str, float]:
        """Resident memory of this process and peak memory of tensors on the GPU, in GiB."""
        used = {"memory_gib": self._process.memory_info().rss / 2**30}
        if torch.cuda.is_available():
            used["gpu_memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
        return used

    def _log_skipped(self, step: int) -> None:
        names = ", ".join(self._ids(step))
        logger.warning(
            "%s: step %d is skipped because its loss or gradient is not finite; samples: %s",
            self._prepared.inputs.key,
            step,
            names,
        )
        self._run.set_tags({"skipped.step": str(step), "skipped.samples": names[:5000]})

    def _log_images(self, done: int) -> None:
        assert self._network is not None
        device = next(self._network.parameters()).device
        for number, (degraded, target) in enumerate(self._images, start=1):
            with torch.no_grad():
                restored = self._network(degraded[None].to(device))[-1][0].clamp(0, 1)
            images = (degraded, restored.cpu(), target)
            strip = side_by_side([image.permute(1, 2, 0).float().numpy() for image in images])
            self._run.log_image(strip, f"samples/{number}/step-{done:09d}.png")
