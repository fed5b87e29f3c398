"""Prepared store to trained network, for one task (and ratio) and variant."""

from __future__ import annotations

from pathlib import Path

from dgunet import network
from dgunet.config import Params
from dgunet.project import EXPERIMENTS, model_key
from dgunet.steps.training_job import TrainingJob
from dgunet.terms import TABLES, RunTags, check_task
from dgunet.tracking.reports.progress import show_verification


def train(
    params: Params,
    task: str,
    *,
    variant: str = "DGUNet",
    ratio: int | None = None,
    store: Path,
    out: Path,
    start: Path | None = None,
) -> Path:
    """Train one network of Tables 1-4; returns the path of its weights.

    Writes ``network.safetensors``, ``loss.csv`` (a row a step) and ``training.json``. A training
    that was killed goes on where it stopped. With ``start`` the network begins with the weights
    there, as the second step of compressive sensing does.

    Raises:
        ConfigError: for an unknown task or a missing ratio.
        DataError: if the store is missing or damaged.
        CheckpointError: if a killed training of other settings or other data lies there.
        DivergedError: if the loss stops being finite.
        SystemExit: with status 75 after SIGTERM: the same call goes on.
    """
    show_verification()
    task = check_task(task)
    key = model_key(task, variant, ratio)
    config = network.preset(
        task,
        variant,
        architecture=params.architecture,
        ratio=ratio,
        **params.active.network,
    )
    tags = RunTags(
        "train",
        params.profile,
        task,
        variant,
        ratio,
        row=variant,
        tables=(TABLES[task],),
    ).to_dict()
    job = TrainingJob(
        params, params.training(task), config, key=key, store=store, out=out, start=start
    )
    with job.start_run(EXPERIMENTS[task], f"train {key}", tags=tags, params={}) as run:
        return job.fit(run)
