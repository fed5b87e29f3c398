"""The step `evaluate`: restore and score a prepared test set, and report to MLflow."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from dgunet.backends import backend_version
from dgunet.config import EvaluationParams
from dgunet.data.store.pair_store import PairStore
from dgunet.evaluation.network_evaluation import (
    DEFAULTS,
    EvaluationOptions,
    EvaluationRequest,
    EvaluationResult,
    load_evaluation,
    run_evaluation,
)
from dgunet.evaluation.parity import published_networks
from dgunet.evaluation.summary import EvaluationSummary
from dgunet.project import EXPERIMENTS
from dgunet.steps.committed_scores import commit_scores
from dgunet.terms import (
    ABLATION_SET,
    ABLATION_TASK,
    ABLATION_VARIANT,
    CHECKPOINT_TAG,
    DATA_TAG,
    EAGER,
    PARITY_TAG,
    PROTOCOL_TAG,
    SELECTION_TAG,
    STATE_TAG,
    TABLES,
    WEIGHTS_TAG,
    RunTags,
    ablation,
    check_task,
)
from dgunet.tracking import Run, TrackingFolders, start_run
from dgunet.tracking.reports.progress import counting, show_verification
from dgunet.tracking.reports.settings import numeric_params
from dgunet.tracking.reports.strips import strips
from dgunet.tracking.run_files import image_key

logger = logging.getLogger(__name__)


def evaluate_test_set(
    params: EvaluationParams,
    dataset: str,
    *,
    variant: str = "DGUNet",
    models: Mapping[int | None, Path],
    store: Path,
    out: Path,
    options: EvaluationOptions = DEFAULTS,
    record: Path | None = None,
) -> list[EvaluationSummary]:
    """Restore and score one test set with the networks of one variant, each as an MLflow run.

    Args:
        params: what an evaluation reads of ``params.yaml``.
        dataset: a test set of the catalogue, which also names its protocol.
        variant: ``DGUNet`` or ``DGUNet+``.
        models: weights by compressive-sensing ratio; other tasks have the one key ``None``.
        store: the prepared test set.
        out: folder of the results, with one folder ``r<ratio>`` for each ratio.
        options: memory and processes; the other options are taken from ``params``.
        record: folder for git that receives the scores, see `commit_scores`; None for none.

    Raises:
        DataError: if the prepared set is missing or of another dataset.
        CheckpointError: if weights are missing, unreadable, or of another task or ratio.
    """
    show_verification()
    task = check_task(PairStore.open(store).manifest.task)
    summaries = []
    for ratio, weights in models.items():
        name = f"evaluate {dataset} {variant}" + ("" if ratio is None else f" {ratio}%")
        tags = RunTags(
            "evaluate",
            params.profile,
            task,
            variant,
            ratio,
            dataset,
            row=variant,
            tables=(TABLES[task],),
        ).to_dict()
        request = set_request(
            params, dataset, variant, ratio, weights=weights, store=store, out=out, options=options
        )
        with start_run(EXPERIMENTS[task], name, tags=tags, params={}) as run:
            summaries.append(evaluate_and_report(request, run))
        if record is not None:
            commit_scores(record, summaries[-1])
    return summaries


def evaluate_ablation(
    params: EvaluationParams,
    name: str,
    *,
    weights: Path,
    store: Path,
    out: Path,
    options: EvaluationOptions = DEFAULTS,
    record: Path | None = None,
) -> EvaluationSummary:
    """Restore and score Rain100H with one network of Tables 5 and 6, as an MLflow run.

    Args:
        params: what an evaluation reads of ``params.yaml``.
        name: key of the ablation.
        weights: its network, trained here or the authors'.
        store: the prepared Rain100H.
        out: folder of the results.
        options: memory and processes; the other options are taken from ``params``.
        record: as for `evaluate_test_set`.

    Raises:
        ConfigError: for an unknown name; the message lists the nine.
        DgunetError: as `evaluate_test_set`.
    """
    show_verification()
    variant = ablation(name)
    tags = RunTags(
        *("evaluate", params.profile, ABLATION_TASK, ABLATION_VARIANT),
        dataset=ABLATION_SET,
        row=name,
        tables=tuple(variant.columns),
    ).to_dict()
    request = ablation_request(params, name, weights=weights, store=store, out=out, options=options)
    title = f"evaluate {name}"
    with start_run(EXPERIMENTS["ablations"], title, tags=tags, params={}) as run:
        summary = evaluate_and_report(request, run)
    if record is not None:
        commit_scores(record, summary)
    return summary


def set_request(
    params: EvaluationParams,
    dataset: str,
    variant: str,
    ratio: int | None,
    *,
    weights: Path,
    store: Path,
    out: Path,
    options: EvaluationOptions,
) -> EvaluationRequest:
    """What `evaluate_test_set` evaluates for one ratio."""
    task = check_task(PairStore.open(store).manifest.task)
    return EvaluationRequest(
        dataset=dataset,
        profile=params.profile,
        row=variant,
        published=published_networks(task, variant, ratio),
        weights=weights,
        store=store,
        out=out if ratio is None else out / f"r{ratio}",
        unfinished=unfinished_evaluations(),
        options=options_from(params, options),
    )


def ablation_request(
    params: EvaluationParams,
    name: str,
    *,
    weights: Path,
    store: Path,
    out: Path,
    options: EvaluationOptions,
) -> EvaluationRequest:
    """What `evaluate_ablation` evaluates."""
    changes = ablation(name).changes
    return EvaluationRequest(
        dataset=ABLATION_SET,
        profile=params.profile,
        row=name,
        published=published_networks(ABLATION_TASK, ABLATION_VARIANT, **changes),
        weights=weights,
        store=store,
        out=out,
        unfinished=unfinished_evaluations(),
        options=options_from(params, options),
    )


def unfinished_evaluations() -> Path:
    """Folder of the evaluations that are running or were killed, one folder for each."""
    return TrackingFolders.at().state / "evaluations"


def options_from(
    params: EvaluationParams, options: EvaluationOptions = DEFAULTS
) -> EvaluationOptions:
    """Return ``options`` with the kept images, device, threads and kernels of ``params``."""
    return replace(
        options,
        keep_images=params.evaluate.keep_images,
        device=params.device,
        threads=params.threads,
        kernels=params.kernels,
    )


def evaluate_and_report(request: EvaluationRequest, run: Run) -> EvaluationSummary:
    """Score one network on one prepared set and report to ``run``.

    Raises:
        DgunetError: as `load_evaluation` and `run_evaluation`; also if another process writes an
            evaluation to the same folder.
    """
    loaded = load_evaluation(request)
    run.log_params(numeric_params(loaded.network.config, loaded.network))
    if loaded.settings.backend != EAGER:
        run.log_params({"backend": backend_version(loaded.settings.backend)})
    with loaded.alone():
        with counting(f"evaluate {request.dataset} {request.row}", "image") as report_progress:
            result = run_evaluation(loaded, on_progress=report_progress, note=logger.warning)
        _report(run, request, result)
    return result.summary


def _report(run: Run, request: EvaluationRequest, result: EvaluationResult) -> None:
    summary = result.summary.to_dict()
    run.set_tags(
        {
            DATA_TAG: summary["data_digest"],
            CHECKPOINT_TAG: summary["checkpoint_sha256"],
            PROTOCOL_TAG: f"{summary['protocol']}/{summary['protocol_version']}",
            SELECTION_TAG: summary["selection"],
            WEIGHTS_TAG: summary["weights"],
            PARITY_TAG: str(summary["parity"]).lower(),
            STATE_TAG: summary["state"],
        }
    )
    seconds = pd.DataFrame([asdict(timing) for timing in result.timings])
    _log_scores(run, request, summary, float(seconds["restore"].sum()))
    run.describe_result(f"`{result.summary.line()}`")
    _log_files(run, request, seconds)
    run.set_result(per_image=summary["per_image_sha256"])


def _log_scores(
    run: Run, request: EvaluationRequest, summary: dict[str, Any], seconds: float
) -> None:
    """Log the scores with their dataset and model; those of the degraded images as parameters.

    The latter are the same for every network, and MLflow draws a chart for each metric.
    """
    dataset = run.log_dataset(
        f"{summary['dataset']} ({summary['profile']})",
        summary["data_digest"],
        source_uri=request.store.as_posix(),
        context="evaluation",
    )
    given = {key: summary[key] for key in ("input_psnr", "input_ssim") if summary[key] is not None}
    run.log_params(
        {key: f"{value:.4f}" for key, value in given.items()}
        | {"images": summary["images"]}
        | {key: summary[key] for key in ("identical", "identical_inputs") if summary.get(key)}
    )
    scores = {key: summary[key] for key in ("psnr", "ssim") if summary[key] is not None}
    run.log_scores(
        scores | {"seconds_restoring": seconds},
        checkpoint=summary["checkpoint_sha256"],
        dataset=dataset,
    )


def _log_files(run: Run, request: EvaluationRequest, seconds: pd.DataFrame) -> None:
    """Log the per-image table with its seconds, the files of the result, and strips of images."""
    # Seconds differ between equal runs, so they are in MLflow and in no output of DVC.
    rows = pd.read_parquet(request.out / "per_image.parquet")
    run.log_table(
        rows.merge(seconds.add_prefix("seconds_"), left_on="id", right_on="seconds_id").drop(
            columns="seconds_id"
        ),
        "per_image.json",
    )
    run.log_artifact(request.out / "per_image.parquet")
    run.log_artifact(request.out / "summary.json")
    for name, strip in strips(request.out, request.store):
        run.log_image(strip, image_key(f"strips/{name}"))
