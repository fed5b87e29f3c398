"""Prepared store to trained network, for one task (and ratio) and variant."""

from __future__ import annotations

from pathlib import Path

from dgunet import network
from dgunet.config import Params, check_task
from dgunet.stages.job import TrainingJob
from dgunet.stages.layout import EXPERIMENTS, TABLES, model_key
from dgunet.stages.progress import show_verification


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
    key = model_key(check_task(task), variant, ratio)
    config = network.preset(
        task,
        variant,
        architecture=params.architecture,
        ratio=ratio,
        **params.active.network,
    )
    tags = {
        "stage": "train",
        "task": task,
        "variant": variant,
        "row": variant,
        "table": str(TABLES[task]),
        "profile": params.profile,
    } | ({"ratio": str(ratio)} if ratio is not None else {})
    job = TrainingJob(
        params, params.training(task), config, key=key, store=store, out=out, start=start
    )
    with job.start_run(EXPERIMENTS[task], f"train {key}", tags=tags, params={}) as run:
        return job.fit(run)
