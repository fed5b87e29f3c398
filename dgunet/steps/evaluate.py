"""Prepared test set and trained networks to per-image metrics."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from dgunet import network
from dgunet.config import Params
from dgunet.data.store.pair_store import PairStore
from dgunet.evaluation.image_steps import Settings
from dgunet.evaluation.processes import evaluate_in_processes
from dgunet.evaluation.protocols import protocol
from dgunet.evaluation.runner import alone, merge_rows, score_shard
from dgunet.evaluation.summary import SELECTION, EvaluationSummary, selection
from dgunet.network.device import pick_device, thread_count
from dgunet.project import EXPERIMENTS
from dgunet.system import files
from dgunet.system.errors import CheckpointError, DataError
from dgunet.system.reading import shorten
from dgunet.terms import (
    ARCHITECTURES,
    CHECKPOINT_TAG,
    DATA_TAG,
    PARITY_TAG,
    PROTOCOL_TAG,
    SELECTION_TAG,
    STATE_TAG,
    TABLES,
    RunTags,
    check_task,
)
from dgunet.tracking import Run, start_run
from dgunet.tracking.reports.network_numbers import numeric_params
from dgunet.tracking.reports.progress import counting, show_verification
from dgunet.tracking.reports.strips import strips

FREE_FIELDS = ("proximal_domain", "dormant")
"""Choices that the published networks were used with both ways, or that decide nothing."""


@dataclass(frozen=True)
class Options:
    """How an evaluation is carried out; only the tiles can change its numbers.

    Attributes:
        tile: side of the tiles to cut every image into; None restores whole images.
        fallback_tile: side of the tiles for an image that does not fit into memory whole; None
            refuses it. Either way the result says that it has no parity.
        processes: how many share the images.
    """

    tile: int | None = None
    fallback_tile: int | None = 512
    processes: int = 1


def evaluate(
    params: Params,
    dataset: str,
    *,
    variant: str = "DGUNet",
    models: Mapping[int | None, Path],
    store: Path,
    out: Path,
    options: Options = Options(),
) -> list[EvaluationSummary]:
    """Restore and score one test set with the networks of one variant.

    Args:
        params: the validated ``params.yaml``.
        dataset: a test set of the catalogue; its protocol comes with it.
        variant: ``DGUNet`` or ``DGUNet+``.
        models: weights by compressive-sensing ratio; other tasks have the one key ``None``.
        store: the prepared test set.
        out: results; a folder ``r<ratio>`` in it for each ratio.
        options: tiles and processes.

    Raises:
        DataError: if the store is missing or holds another set.
        CheckpointError: if weights are missing, unreadable, or of another task or ratio.
    """
    show_verification()
    pairs = PairStore.open(store)
    task = check_task(pairs.manifest.task)
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
            column=dataset,
            row=variant,
            tables=(TABLES[task],),
        ).to_dict()
        settings = {"dataset": dataset, "variant": variant}
        with start_run(EXPERIMENTS[task], name, tags=tags, params=settings) as run:
            if ratio is not None:
                run.log_params({"ratio": ratio})
            summaries.append(
                evaluate_network(
                    params,
                    dataset,
                    row=variant,
                    papers=papers_networks(task, variant, ratio),
                    weights=weights,
                    store=store,
                    out=out if ratio is None else out / f"r{ratio}",
                    run=run,
                    options=options,
                )
            )
    return summaries


def papers_networks(
    task: str, variant: str, ratio: int | None = None, **changes: Any
) -> list[network.DGUNetConfig]:
    """The networks that the paper's row may mean: as released, and as the text says."""
    return [
        network.preset(task, variant, architecture=architecture, ratio=ratio, **changes)
        for architecture in ARCHITECTURES
    ]


def evaluate_network(
    params: Params,
    dataset: str,
    *,
    row: str,
    papers: Sequence[network.DGUNetConfig],
    weights: Path,
    store: Path,
    out: Path,
    run: Run,
    options: Options = Options(),
) -> EvaluationSummary:
    """Score one network on one set and report to ``run``; see `evaluate`.

    ``papers`` are the networks that fill the row of the paper's table; the result of another one,
    such as the sample's tiny networks, has no parity.
    """
    pairs = PairStore.open(store)
    if pairs.manifest.dataset != dataset:
        raise DataError(
            f"{store} holds {pairs.manifest.dataset}, not {dataset}.", "Prepare the set again."
        )
    if pairs.manifest.profile != params.profile:
        raise DataError(
            f"{store} is of the profile {pairs.manifest.profile!r}, the parameters are of "
            f"{params.profile!r}.",
            "Prepare the set under this profile, or change `profile` in params.yaml.",
        )
    model, told = network.load_network(weights)
    _refuse_another_network(model.config, papers[0], weights)
    settings = Settings(
        row=row,
        variant=papers[0].variant,
        ratio=papers[0].ratio,
        checkpoint_sha256=files.sha256_file(weights),
        keep_images=params.active.evaluate.keep_images,
        tile=options.tile,
        fallback_tile=options.fallback_tile,
        faithful=is_one_of(model.config, papers),
        selection=_selection(told, weights),
    )
    rules = protocol(pairs.manifest.protocol)
    device = pick_device(params.active.runtime.device)
    run.log_params(numeric_params(model.config, model))
    with (
        alone(out),
        thread_count(params.active.runtime.threads),
        TemporaryDirectory() as scratch,
    ):
        with counting(f"evaluate {dataset} {row}", "image") as tell:
            if options.processes > 1:
                evaluate_in_processes(
                    weights,
                    pairs,
                    out,
                    settings,
                    processes=options.processes,
                    device=device,
                    on_progress=tell,
                    note=_note,
                )
            else:
                score_shard(
                    model.to(device),
                    pairs,
                    rules,
                    out,
                    settings,
                    on_row=lambda _, done, total: tell(done, total),
                    note=_note,
                )
        timings = Path(scratch) / "timings.parquet"
        summary = merge_rows(pairs, rules, out, settings, timings=timings)
        _report(run, summary.to_dict(), out, store, pd.read_parquet(timings))
    return summary


def _note(line: str) -> None:
    print(f"dgunet: {line}", file=sys.stderr)


def _refuse_another_network(
    found: network.DGUNetConfig, wanted: network.DGUNetConfig, weights: Path
) -> None:
    for field in ("task", "variant", "ratio"):
        if getattr(found, field) != getattr(wanted, field):
            raise CheckpointError(
                f"{weights} holds a network with {field} {getattr(found, field)!r}, "
                f"not {getattr(wanted, field)!r}.",
                "Name weights that were trained for this row.",
            )


def _selection(told: Mapping[str, str], weights: Path) -> str:
    chosen = selection(told)
    if not re.fullmatch(SELECTION, chosen):
        raise CheckpointError(
            f"{weights} says that it was chosen by {shorten(chosen)}.",
            "Known ways are last, held-out, test-set NAME and unknown: train it again.",
        )
    return chosen


def is_one_of(found: network.DGUNetConfig, wanted: Sequence[network.DGUNetConfig]) -> bool:
    """Whether a network is one of those, but for what decides nothing (`FREE_FIELDS`)."""
    return any(_same(found, config) for config in wanted)


def _same(a: network.DGUNetConfig, b: network.DGUNetConfig) -> bool:
    left, right = a.to_dict(), b.to_dict()
    return all(left[key] == right[key] for key in left if key not in FREE_FIELDS)


def _report(
    run: Run, summary: dict[str, Any], out: Path, store: Path, seconds: pd.DataFrame
) -> None:
    run.set_tags(
        {
            DATA_TAG: summary["data_digest"],
            CHECKPOINT_TAG: summary["checkpoint_sha256"],
            PROTOCOL_TAG: f"{summary['protocol']}/{summary['protocol_version']}",
            SELECTION_TAG: summary["selection"],
            PARITY_TAG: str(summary["parity"]).lower(),
            STATE_TAG: summary["state"],
        }
    )
    dataset = run.log_dataset(
        f"{summary['dataset']} ({summary['profile']})",
        summary["data_digest"],
        source_uri=store.as_posix(),
        context="evaluation",
    )
    scores = ("psnr", "ssim", "input_psnr", "input_ssim")
    run.log_scores(
        {key: summary[key] for key in scores if summary[key] is not None}
        | {"images": summary["images"], "seconds_restoring": float(seconds["restore"].sum())},
        checkpoint=summary["checkpoint_sha256"],
        dataset=dataset,
    )
    # Seconds differ from run to run: they are in MLflow's table, and in no file that DVC tracks.
    rows = pd.read_parquet(out / "per_image.parquet")
    run.log_table(
        rows.merge(seconds.add_prefix("seconds_"), left_on="id", right_on="seconds_id").drop(
            columns="seconds_id"
        ),
        "per_image.json",
    )
    run.log_artifact(out / "per_image.parquet")
    run.log_artifact(out / "summary.json")
    for name, strip in strips(out, store):
        run.log_image(strip, f"strips/{name}")
    run.set_result(per_image=summary["per_image_sha256"])
