"""The step `train`: from a prepared store to one trained network."""

from __future__ import annotations

from pathlib import Path

from dgunet import network
from dgunet.config import Params
from dgunet.project import EXPERIMENTS, model_key
from dgunet.steps.tracked_training import train_in_run, training_inputs, training_run
from dgunet.terms import TABLES, RunTags, check_task
from dgunet.tracking.reports.progress import show_verification
from dgunet.training.preparation import prepare_training


def train_network(
    params: Params,
    task: str,
    *,
    variant: str = "DGUNet",
    ratio: int | None = None,
    store: Path,
    out: Path,
    start: Path | None = None,
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
        return train_in_run(prepared, run)
