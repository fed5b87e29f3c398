"""The step `tables`: from results of evaluations to the six tables and one MLflow run."""

from __future__ import annotations

import logging
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dgunet.evaluation.dnd import apply_score
from dgunet.evaluation.results import check_sealed, find_results, read_result_and_rows
from dgunet.evaluation.rows import Row
from dgunet.evaluation.server_scores import read_scores
from dgunet.evaluation.summary import EvaluationSummary
from dgunet.paper.formats import write_tables
from dgunet.paper.generated_table import GeneratedTable
from dgunet.paper.html_report import write_report
from dgunet.paper.overlaps import known_overlaps
from dgunet.paper.overview import chart, describe
from dgunet.paper.table_building import build_tables
from dgunet.paper.twins import build_twins
from dgunet.paper.verdict_lines import judged_cells
from dgunet.project import EXPERIMENTS, ProjectFolders
from dgunet.steps.result_evidence import Evidence
from dgunet.system import files
from dgunet.terms import DATA_TAG, RunTags
from dgunet.tracking import start_run
from dgunet.tracking.run_links import local_run_links

CheckedResult = tuple[Path, EvaluationSummary, list[Row]]
"""Folder, summary and rows of one evaluation."""

logger = logging.getLogger(__name__)


def read_results(
    folders: Iterable[Path], project: ProjectFolders | None = None
) -> list[dict[str, Any]]:
    """The summaries that `read_results_and_rows` reads."""
    return read_results_and_rows(folders, project)[0]


def read_results_and_rows(
    folders: Iterable[Path], project: ProjectFolders | None = None
) -> tuple[list[dict[str, Any]], dict[str, list[Row]]]:
    """The summaries that `checked_results` finds, and the rows by their ``per_image_sha256``."""
    return summaries_and_rows(checked_results(folders, project))


def summaries_and_rows(
    results: Iterable[CheckedResult],
) -> tuple[list[dict[str, Any]], dict[str, list[Row]]]:
    """The summaries of ``results``, and their rows by the ``per_image_sha256``."""
    summaries, by_digest = [], {}
    for _, summary, rows in results:
        summaries.append(summary.to_dict())
        by_digest[summary.per_image_sha256] = rows
    return summaries, by_digest


def checked_results(
    folders: Iterable[Path], project: ProjectFolders | None = None
) -> Iterator[CheckedResult]:
    """Yield folder, summary and rows of every evaluation in ``folders``; missing ones are skipped.

    Each summary is compared with its per-image table and, if they are in ``project``, with the
    prepared set, the weights and the record of the run that made it; then all files with the seal.

    Raises:
        EvaluationError: if a result was changed; with the file, the field and both values.
    """
    evidence = Evidence(project) if project else None
    for folder in folders:
        for result in find_results(folder):
            summary, rows = read_result_and_rows(result, sealed=False)
            if evidence is not None:
                evidence.check(summary, result)
            check_sealed(result, summary)
            yield result, summary, rows


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
    overlaps: Path | None = None,
    project: ProjectFolders | None = None,
) -> list[GeneratedTable]:
    """Make Tables 1-6 from the evaluations in ``results`` and write them to ``out``.

    The verdicts on the cells and their leak-corrected twins are written next to them.

    The MLflow run has the tables, the report as a file, and the number of cells by verdict.

    Args:
        profile: "sample" or "paper": the profile that the evaluations must have.
        results: folders of evaluations; see `read_results`.
        out: folder of the tables.
        records: folder of the scores that DND's server mailed, as ``dgunet dnd record`` enters
            them.
        overlaps: file of ``dgunet data check --overlaps``; the established overlaps are always
            used.
        project: its prepared sets, weights and runs are compared with the results; they
            contribute nothing to the tables.

    Raises:
        ConfigError: if an evaluation was made under another profile.
        DataError: if one test set was scored on two versions of its data, or ``overlaps`` is
            wrong.
        EvaluationError: if a result was changed; see `read_results`.
    """
    tags = RunTags("tables", profile).to_dict()
    with start_run(
        EXPERIMENTS["tables"], f"tables ({profile})", tags=tags, params={}, closing=True
    ) as run:
        found, rows = read_results_and_rows(results, project)
        summaries = with_server_scores(found, records)
        made = build_tables(summaries, profile=profile, rows=rows)
        twins = build_twins(made, summaries, rows=rows, overlaps=known_overlaps(overlaps))
        write_tables(made, out, twins)
        run.set_tags({DATA_TAG: digest_of(made), "mlflow.note.content": describe(made)})
        run.log_metrics(_counts(made) | {"evaluations": len(summaries)})
        for table in made:
            run.log_table(table.frame(), f"tables/table{table.number}.json")
            run.log_figure(chart(table), f"figures/table{table.number}.png")
        for path in sorted(out.glob("[!.]*")):
            run.log_artifact(path, "files")
        digests = [summary["per_image_sha256"] for summary in summaries]
        links = local_run_links(digests, project.home if project else None)
        with tempfile.TemporaryDirectory() as folder:
            write_report(made, links, Path(folder, "report.html"), twins)
            run.log_artifact(Path(folder, "report.html"))
    return made


def _counts(made: list[GeneratedTable]) -> dict[str, float]:
    """The number of our cells, and of those with each verdict and in each state."""
    cells = judged_cells(made)
    verdicts = Counter(f"verdict/{cell.verdict}" for cell in cells)
    states = Counter(f"state/{cell.state}" for cell in cells)
    counts: dict[str, float] = {"cells": len(cells)}
    return counts | {kind.replace(" ", "_"): n for kind, n in (verdicts + states).items()}


def digest_of(made: Iterable[GeneratedTable]) -> str:
    """One SHA-256 for the data of all tables."""
    return files.sha256_json({str(table.number): table.data_digest for table in made})
