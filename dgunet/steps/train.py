"""The step `train`: from a prepared store to one trained network of Tables 1-4, or of 5 and 6."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dgunet import network
from dgunet.config import Params
from dgunet.project import EXPERIMENTS, model_key
from dgunet.steps.committed_curves import commit_curve
from dgunet.steps.tracked_training import train_in_run, training_inputs, training_run
from dgunet.terms import (
    ABLATION_TASK,
    ABLATION_VARIANT,
    TABLES,
    RunTags,
    ablation,
    check_task,
)
from dgunet.tracking.reports.progress import show_verification
from dgunet.training.preparation import TrainingInputs, prepare_training


def train_network(
    params: Params,
    task: str,
    *,
    variant: str = "DGUNet",
    ratio: int | None = None,
    store: Path,
    out: Path,
    start: Path | None = None,
    record: Path | None = None,
) -> Path:
    """Train one network of Tables 1-4; return the path of its weights.

    Writes ``network.safetensors``, ``loss.csv`` (one row per step) and ``training.json`` to
    ``out``. A killed training resumes from its newest checkpoint. Under ``torchrun`` every process
    calls this; the leading one writes and reports.

    Args:
        params: the project's parameters.
        task: derain, deblur, denoise or cs.
        variant: DGUNet or DGUNet+.
        ratio: percent of measurements, for cs only.
        store: the prepared training set.
        out: folder of the result.
        start: initial weights, as in the second training step of compressive sensing; None for
            random ones.
        record: folder for git that receives the loss curve, see `commit_curve`; None for none.

    Raises:
        ConfigError: for an unknown task or a missing ratio.
        DataError: if the store is missing or damaged.
        CheckpointError: if the checkpoints of a killed training are of other settings or data.
        DivergedError: if the loss is not finite.
        SystemExit: with status 75 after SIGTERM; the same call resumes the training.
    """
    show_verification()
    task = check_task(task)
    key = model_key(task, variant, ratio)
    config = network.preset(
        task, variant, architecture=params.architecture, ratio=ratio, **params.active.network
    )
    inputs = training_inputs(
        params, params.training(task), config, key=key, store=store, out=out, start=start
    )
    prepared = prepare_training(inputs)
    tags = RunTags(
        "train", params.profile, task, variant, ratio, row=variant, tables=(TABLES[task],)
    ).to_dict()
    with training_run(prepared, EXPERIMENTS[task], f"train {key}", tags=tags, params={}) as run:
        weights = train_in_run(prepared, run)
    _record(inputs, record)
    return weights


def train_ablation(
    params: Params, name: str, *, store: Path, out: Path, record: Path | None = None
) -> Path:
    """Train one network of Tables 5 and 6 (Section 4.6); return the path of its weights.

    Writes the same files as `train_network`, and can be resumed and distributed as it can.

    Args:
        params: the project's parameters.
        name: key of the ablation.
        store: the prepared training set of deraining.
        out: folder of the result.
        record: as for `train_network`.

    Raises:
        ConfigError: for an unknown name; the message lists the nine.
        DgunetError: as `train_network`.
    """
    show_verification()
    variant, key = ablation(name), f"ablation-{name}"
    changes: dict[str, Any] = dict(params.active.network) | dict(variant.changes)
    config = network.preset(
        ABLATION_TASK, ABLATION_VARIANT, architecture=params.architecture, **changes
    )
    inputs = training_inputs(params, params.active.ablate, config, key=key, store=store, out=out)
    prepared = prepare_training(inputs)
    tags = RunTags(
        *("train", params.profile, ABLATION_TASK, ABLATION_VARIANT),
        row=name,
        tables=tuple(variant.columns),
    ).to_dict()
    experiment = EXPERIMENTS["ablations"]
    with training_run(prepared, experiment, f"train {name}", tags=tags, params={}) as run:
        weights = train_in_run(prepared, run)
    _record(inputs, record)
    return weights


def _record(inputs: TrainingInputs, folder: Path | None) -> None:
    if folder is not None and inputs.process.leads:
        commit_curve(folder, inputs.key, inputs.out / "loss.csv")
