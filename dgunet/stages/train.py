"""Prepared store to trained network, for one task (and ratio) and variant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from dgunet import files, network
from dgunet.config import Params, TrainParams, check_task
from dgunet.data.batches import TrainingBatches
from dgunet.data.store import PairStore
from dgunet.stages.layout import EXPERIMENTS, TABLES, model_key
from dgunet.stages.progress import Tell, counting
from dgunet.tracking import Run, start_run
from dgunet.training import StepReport, TrainingConfig, TrainingResult
from dgunet.training import train as fit


def train(
    params: Params,
    task: str,
    *,
    variant: str = "DGUNet",
    ratio: int | None = None,
    store: Path,
    out: Path,
) -> Path:
    """Train one network of Tables 1-4; returns the path of its weights.

    Writes ``network.safetensors``, ``loss.csv`` (a row a step) and ``training.json``.

    Raises:
        ConfigError: for an unknown task or a missing ratio.
        DataError: if the store is missing or damaged.
        DivergedError: if the loss stops being finite.
    """
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
    with start_run(EXPERIMENTS[task], f"train {key}", tags=tags, params={}) as run:
        return fit_network(
            params, params.training(task), config, key=key, store=store, out=out, run=run
        )


def fit_network(
    params: Params,
    knobs: TrainParams,
    config: network.DGUNetConfig,
    *,
    key: str,
    store: Path,
    out: Path,
    run: Run,
) -> Path:
    """Train a network of ``config`` on ``store`` and report to ``run``; see `train`."""
    pairs = PairStore.open(store)
    runtime = params.active.runtime
    hyper = TrainingConfig(
        iterations=knobs.iterations,
        learning_rate=knobs.learning_rate,
        warmup=knobs.warmup,
        learning_rate_min=knobs.learning_rate_min,
        seed=params.seed,
        device=runtime.device,
        threads=runtime.threads,
    )
    torch.manual_seed(params.seed)
    model = network.DGUNet(config)
    batches = TrainingBatches(
        pairs, patch=knobs.patch, batch=knobs.batch, seed=params.seed, augment=knobs.augment
    )
    run.log_params(_flat({"train": knobs.model_dump(), "seed": params.seed}))
    run.log_params(_flat({"network": config.to_dict()}) | numeric_params(config, model))
    digest = pairs.manifest.digest
    run.set_tags({"data.digest": digest, "train.data.digest": digest})
    run.log_dataset(
        f"{pairs.manifest.dataset} ({pairs.manifest.profile})",
        pairs.manifest.digest,
        source_uri=store.as_posix(),
        context="training",
    )
    with counting(key, "step") as tell:
        result = fit(model, batches, hyper, observe=_observer(run, tell))
    weights = out / "network.safetensors"
    provenance = {
        "profile": params.profile,
        "key": key,
        "train.data_digest": pairs.manifest.digest,
        "train.dataset": pairs.manifest.dataset,
        "train.config": files.sha256_json(asdict(hyper) | knobs.model_dump()),
    }
    network.save_network(model, weights, provenance)
    _write_curve(result, out)
    checkpoint = files.sha256_file(weights)
    run.log_metrics({"loss_first": result.first_loss, "loss_last": result.last_loss})
    run.set_tags({"checkpoint.sha256": checkpoint})
    run.log_artifact(out / "loss.csv")
    run.log_network(weights, name=key)
    run.set_result(checkpoint=checkpoint)
    return weights


def numeric_params(config: network.DGUNetConfig, model: network.DGUNet) -> dict[str, Any]:
    """What the ablations vary, as numbers that MLflow's charts can put on an axis."""
    return {
        "stages": config.stages,
        "scales": 0 if config.fusion == "none" else config.fusion_scales,
        "parameters": sum(p.numel() for p in model.parameters()),
    }


def _observer(run: Run, tell: Tell) -> Callable[[StepReport], None]:
    def observe(report: StepReport) -> None:
        stages = {f"loss_stage_{k}": v for k, v in enumerate(report.stage_losses, start=1)}
        run.log_metrics(
            {"loss": report.loss, "learning_rate": report.learning_rate} | stages, step=report.step
        )
        tell(report.step + 1, report.iterations, f"loss {report.loss:.5f}")

    return observe


def _write_curve(result: TrainingResult, out: Path) -> None:
    rows = [
        {"step": r.step, "loss": r.loss, "learning_rate": r.learning_rate}
        | {f"stage_{k}": v for k, v in enumerate(r.stage_losses, start=1)}
        for r in result.reports
    ]
    files.write_text(out / "loss.csv", pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))
    files.write_json(
        out / "training.json",
        {
            "iterations": len(rows),
            "loss_first": result.first_loss,
            "loss_last": result.last_loss,
        },
    )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat
