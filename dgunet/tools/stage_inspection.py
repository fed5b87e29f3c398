"""Inspection of the unfolded stages: their numbers, images and learned operators."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch.func import jvp

from dgunet.network import DGUNet, load_network
from dgunet.network.gradient import FlexibleGradientDescent
from dgunet.network.introspect import StageReport, inspect_network, stage_strip, to_uint8
from dgunet.project import EXPERIMENTS
from dgunet.system.errors import EvaluationError
from dgunet.system.files import atomic_path, check_folder, sha256_file, write_json
from dgunet.terms import CHECKPOINT_TAG, DATA_TAG, RunTags
from dgunet.tools.compressive_sensing import read_input, read_measurements
from dgunet.tracking import start_run

QUANTITIES = {
    "step_size": "step size rho",
    "data_residual": "data residual",
    "adjointness_gap": "adjointness gap",
}
STRIP, NUMBERS = "stages.png", "stages.json"


def inspect_input(
    source: Path, checkpoint: Path, out: Path, *, track: bool = False
) -> list[StageReport]:
    """Write the output of every stage for ``source`` into ``out``: images and numbers.

    Args:
        source: an image in any common format, or compressive measurements (.npy).
        checkpoint: weights written by ``save_network``.
        out: folder for ``stages.png`` and ``stages.json``.
        track: also log an MLflow run, with the stage as the step.

    Raises:
        DataError: if ``source`` cannot be read, or does not fit the network.
        CheckpointError: if ``checkpoint`` was not written by ``save_network``.
        EvaluationError: if a stage gives NaN or infinity.
    """
    check_folder(out)
    network, _ = load_network(checkpoint)
    if source.suffix == ".npy":
        y = read_measurements(source, network)
        with torch.no_grad():
            observed = network.operator.adjoint(y) if network.operator is not None else y
        reports = inspect_network(network, y, measured=True)
    else:
        observed = read_input(source, network.config.channels)
        reports = inspect_network(network, observed)
    for report in reports:
        if not (report.v.isfinite().all() and report.x.isfinite().all()):
            raise EvaluationError(
                f"{checkpoint}: stage {report.stage} gives NaN or infinity for {source}.",
                "Its training diverged; use an earlier checkpoint.",
            )
    with atomic_path(out / STRIP) as temporary:
        stage_strip(reports, observed).save(temporary)
    rows = [{"stage": report.stage, **_numbers(report)} for report in reports]
    write_json(out / NUMBERS, {"image": source.name, "stages": rows})
    if track:
        _track(reports, out, source, checkpoint, network.config.task)
    return reports


def _numbers(report: StageReport) -> dict[str, float]:
    values = {name: getattr(report, name) for name in QUANTITIES}
    return {name: value for name, value in values.items() if value is not None}


def _track(
    reports: Sequence[StageReport], out: Path, source: Path, checkpoint: Path, task: str
) -> None:
    tags = RunTags("inspect", task=task).to_dict() | {
        DATA_TAG: sha256_file(source),
        CHECKPOINT_TAG: sha256_file(checkpoint),
    }
    settings = {"image": source.name, "stages": len(reports)}
    name = f"inspect {source.name}"
    with start_run(EXPERIMENTS["inspect"], name, tags=tags, params=settings) as run:
        for report in reports:
            run.log_metrics(_numbers(report), step=report.stage)
            run.log_image(to_uint8(report.x), "stages/x_hat", step=report.stage)
        for file in (STRIP, NUMBERS):
            run.log_artifact(out / file)


def stages_chart(reports: Sequence[StageReport]) -> Figure:
    """Chart of step size, data residual and adjointness gap by stage."""
    figure = Figure(figsize=(9, 2.6), layout="constrained")
    for axes, (field, label) in zip(figure.subplots(1, 3), QUANTITIES.items(), strict=True):
        known = [(r.stage, getattr(r, field)) for r in reports if getattr(r, field) is not None]
        axes.plot(*zip(*known, strict=True), "o-") if known else None
        axes.set_xticks([r.stage for r in reports])
        axes.set_xlabel("stage")
        axes.set_title(label, fontsize="medium")
        axes.grid(alpha=0.3)
    return figure


def impulse_response(network: DGUNet, x: torch.Tensor, stage: int) -> NDArray[np.float32]:
    """Response of the learned A of a stage to a change of the pixel at the centre of ``x``.

    The derivative of F_A of Eq. (7) at ``x`` in the direction of that pixel (equal in all
    channels), averaged over the channels, minus the pixel itself: 0 everywhere for A = identity.

    Args:
        network: a network with a learned operator.
        x: an image (1, C, H, W) in [0, 1].
        stage: 1 to K.

    Returns:
        float32 (H, W).

    Raises:
        ValueError: for a network without a learned operator or without a gradient step.
    """
    gradient = _step_of(network, stage)
    if gradient is None or gradient.f_a is None:
        raise ValueError("this network has no learned operator.")
    pixel = torch.zeros_like(x)
    pixel[..., x.shape[2] // 2, x.shape[3] // 2] = 1
    with torch.no_grad():
        response = jvp(lambda z: gradient.measure(z, network.operator), (x,), (pixel,))[1]
    return np.asarray((response - pixel).mean(1)[0].numpy(), np.float32)


def _step_of(network: DGUNet, stage: int) -> FlexibleGradientDescent | None:
    """The gradient step of a stage; stages 2 to K-1 of a DGUNet share one."""
    if stage == 1:
        return network.first.gradient
    if stage == network.config.stages:
        return network.last.gradient
    middle: Any = network.middle[0 if network.config.shared else stage - 2]
    step: FlexibleGradientDescent | None = middle.gradient
    return step


def operators_chart(network: DGUNet, x: torch.Tensor, *, side: int = 9) -> Figure:
    """Chart of the centre of `impulse_response` for every stage, on one colour scale."""
    stages = network.config.stages
    rows, columns = x.shape[2] // 2, x.shape[3] // 2
    half = side // 2
    window = (slice(rows - half, rows + half + 1), slice(columns - half, columns + half + 1))
    answers = [impulse_response(network, x, stage)[window] for stage in range(1, stages + 1)]
    top = max(float(np.abs(answer).max()) for answer in answers) or 1.0
    figure = Figure(figsize=(1.3 * stages, 1.9), layout="constrained")
    every = np.atleast_1d(figure.subplots(1, stages))
    for stage, (axes, answer) in enumerate(zip(every, answers, strict=True), start=1):
        shown = axes.imshow(answer, cmap="RdBu", vmin=-top, vmax=top)
        axes.set_title(f"stage {stage}", fontsize="small")
        axes.set_axis_off()
    figure.colorbar(shown, ax=list(every), shrink=0.8)
    return figure
