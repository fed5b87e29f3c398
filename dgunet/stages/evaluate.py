"""Prepared test set and trained networks to per-image metrics."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from dgunet import files, network
from dgunet.config import Params
from dgunet.data.store import PairStore
from dgunet.errors import DataError
from dgunet.evaluation.protocols import protocol
from dgunet.evaluation.runner import evaluate_store
from dgunet.evaluation.summary import EvaluationSummary
from dgunet.stages.figures import strips
from dgunet.stages.layout import EXPERIMENTS, TABLES
from dgunet.tracking import Run, start_run
from dgunet.training.loop import pick_device, thread_count


def evaluate(
    params: Params,
    dataset: str,
    *,
    variant: str = "DGUNet",
    models: Mapping[int | None, Path],
    store: Path,
    out: Path,
) -> list[EvaluationSummary]:
    """Restore and score one test set with the networks of one variant.

    Args:
        params: the validated ``params.yaml``.
        dataset: a test set of the catalogue; its protocol comes with it.
        variant: ``DGUNet`` or ``DGUNet+``.
        models: weights by compressive-sensing ratio; other tasks have the one key ``None``.
        store: the prepared test set.
        out: results; a folder ``r<ratio>`` in it for each ratio.

    Raises:
        DataError: if the store is missing or holds another set.
        CheckpointError: if weights are missing or unreadable.
    """
    pairs = PairStore.open(store)
    task = pairs.manifest.task
    summaries = []
    for ratio, weights in models.items():
        folder = out if ratio is None else out / f"r{ratio}"
        name = f"evaluate {dataset} {variant}" + ("" if ratio is None else f" {ratio}%")
        tags = {
            "stage": "evaluate",
            "task": task,
            "dataset": dataset,
            "column": dataset,
            "variant": variant,
            "row": variant,
            "table": str(TABLES[task]),
            "profile": params.profile,
        } | ({} if ratio is None else {"ratio": str(ratio)})
        with start_run(EXPERIMENTS[task], name, tags=tags, params={}) as run:
            run.log_params({"dataset": dataset, "variant": variant})
            if ratio is not None:
                run.log_params({"ratio": ratio})
            summaries.append(
                evaluate_network(
                    params,
                    dataset,
                    row=variant,
                    variant=variant,
                    ratio=ratio,
                    weights=weights,
                    store=store,
                    out=folder,
                    run=run,
                )
            )
    return summaries


def evaluate_network(
    params: Params,
    dataset: str,
    *,
    row: str,
    variant: str,
    ratio: int | None,
    weights: Path,
    store: Path,
    out: Path,
    run: Run,
) -> EvaluationSummary:
    """Score one network on one set and report to ``run``; see `evaluate`."""
    pairs = PairStore.open(store)
    if pairs.manifest.dataset != dataset:
        raise DataError(
            f"{store} holds {pairs.manifest.dataset}, not {dataset}.", "Prepare the set again."
        )
    model, _ = network.load_network(weights)
    checkpoint = files.sha256_file(weights)
    rules = protocol(pairs.manifest.protocol)
    runtime = params.active.runtime
    with thread_count(runtime.threads):
        summary = evaluate_store(
            model.to(pick_device(runtime.device)),
            pairs,
            rules,
            out,
            row=row,
            variant=variant,
            ratio=ratio,
            checkpoint_sha256=checkpoint,
            keep_images=params.active.evaluate.keep_images,
        )
    _report(run, summary.to_dict(), out, store)
    return summary


def _report(run: Run, summary: dict[str, Any], out: Path, store: Path) -> None:
    run.set_tags(
        {
            "data.digest": summary["data_digest"],
            "checkpoint.sha256": summary["checkpoint_sha256"],
            "protocol": f"{summary['protocol']}/{summary['protocol_version']}",
            "parity": str(summary["parity"]).lower(),
            "state": summary["state"],
        }
    )
    run.log_dataset(
        f"{summary['dataset']} ({summary['profile']})",
        summary["data_digest"],
        source_uri=store.as_posix(),
        context="evaluation",
    )
    scores = ("psnr", "ssim", "input_psnr", "input_ssim")
    run.log_metrics(
        {key: summary[key] for key in scores if summary[key] is not None}
        | {"images": summary["images"]}
    )
    run.log_table(pd.read_parquet(out / "per_image.parquet"), "per_image.json")
    run.log_artifact(out / "per_image.parquet")
    run.log_artifact(out / "summary.json")
    for name, strip in strips(out / "restored", store):
        run.log_image(strip, f"strips/{name}")
    run.set_result(per_image=summary["per_image_sha256"])
