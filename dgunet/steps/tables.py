"""The step `tables`: from results of evaluations to the six tables and one MLflow run."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dgunet.evaluation.dnd import apply_score
from dgunet.evaluation.results import find_results, read_result
from dgunet.evaluation.server_scores import read_scores
from dgunet.paper.formats import write_tables
from dgunet.paper.generated_table import GeneratedTable
from dgunet.paper.overview import chart, describe
from dgunet.paper.table_building import build_tables
from dgunet.project import EXPERIMENTS, ProjectFolders
from dgunet.steps.result_evidence import Evidence
from dgunet.system import files
from dgunet.terms import DATA_TAG, RunTags
from dgunet.tracking import start_run

logger = logging.getLogger(__name__)


def read_results(
    folders: Iterable[Path], project: ProjectFolders | None = None
) -> list[dict[str, Any]]:
    """The checked summary of every evaluation in ``folders``; missing folders are skipped.

    Each is compared with its per-image table and, if they are in ``project``, with the prepared
    set, the weights and the record of the run that made it.

    Raises:
        EvaluationError: if a result was changed; with the file, the field and both values.
    """
    evidence = Evidence(project) if project else None
    summaries = []
    for folder in folders:
        for result in find_results(folder):
            summary = read_result(result)
            if evidence is not None:
                evidence.check(summary, result)
            summaries.append(summary.to_dict())
    return summaries


def with_server_scores(
    summaries: Iterable[dict[str, Any]], records: Path | None
) -> list[dict[str, Any]]:
    """Return ``summaries``; those of DND get the server's score if ``records`` has one.

    A score of other weights or data is left out with a warning.

    Raises:
        EvaluationError: for an invalid record, or two records of the same results.
    """
    scores = read_scores(records) if records else []
    known = {score.per_image_sha256: score for score in scores}
    scored = []
    for summary in summaries:
        score = known.pop(summary["per_image_sha256"], None)
        scored.append(apply_score(summary, score) if score else summary)
    for score in known.values():
        logger.warning(
            "the server's score of %s belongs to other results (per-image table %s): left out",
            score.row,
            score.per_image_sha256[:12],
        )
    return scored


def make_tables(
    profile: str,
    *,
    results: Iterable[Path],
    out: Path,
    records: Path | None = None,
    project: ProjectFolders | None = None,
) -> list[GeneratedTable]:
    """Make Tables 1-6 from the evaluations in ``results`` and write them to ``out``.

    Also writes ``metrics.json``, the measured means by test set and row, for ``dvc metrics``.

    Args:
        profile: "sample" or "paper": the profile that the evaluations must have.
        results: folders of evaluations; see `read_results`.
        out: folder of the tables.
        records: folder of the scores that DND's server mailed, as ``dgunet dnd record`` enters
            them.
        project: its prepared sets, weights and runs are compared with the results; they
            contribute nothing to the tables.

    Raises:
        ConfigError: if an evaluation was made under another profile.
        DataError: if one test set was scored on two versions of its data.
        EvaluationError: if a result was changed; see `read_results`.
    """
    tags = RunTags("tables", profile).to_dict()
    with start_run(
        EXPERIMENTS["tables"], f"tables ({profile})", tags=tags, params={}, closing=True
    ) as run:
        summaries = with_server_scores(read_results(results, project), records)
        made = build_tables(summaries, profile=profile)
        write_tables(made, out)
        files.write_json(out / "metrics.json", metrics(summaries))
        run.set_tags({DATA_TAG: digest_of(made), "mlflow.note.content": describe(made)})
        run.log_metrics({"evaluations": len(summaries)})
        for table in made:
            run.log_table(table.frame(), f"tables/table{table.number}.json")
            run.log_figure(chart(table), f"figures/table{table.number}.png")
        for path in sorted(out.glob("[!.]*")):
            run.log_artifact(path, "files")
    return made


def digest_of(made: Iterable[GeneratedTable]) -> str:
    """One SHA-256 for the data of all tables."""
    return files.sha256_json({str(table.number): table.data_digest for table in made})


def metrics(summaries: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Means by test set, row and compressive-sensing ratio, as nested dictionaries."""
    nested: dict[str, Any] = {}
    for summary in summaries:
        means = nested.setdefault(summary["dataset"], {}).setdefault(summary["row"], {})
        if summary["ratio"] is not None:
            means = means.setdefault(f"{summary['ratio']}%", {})
        for key in ("psnr", "ssim", "input_psnr", "input_ssim"):
            if summary[key] is not None:
                means[key] = summary[key]
    return nested
