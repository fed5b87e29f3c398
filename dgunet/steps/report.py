"""The step `report`: the HTML report of the tables; and the provenance of one cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dgunet.config import Params, load_params
from dgunet.evaluation.rows import DIGEST
from dgunet.paper.claims.report_claims import shown_claims
from dgunet.paper.explain import explain_cell
from dgunet.paper.formats import cells_frame
from dgunet.paper.html_report import RunLink, write_report
from dgunet.paper.overlaps import known_overlaps
from dgunet.paper.report_evidence import ReportEvidence, ShownClaims
from dgunet.paper.table_building import build_tables
from dgunet.paper.twins import build_twins
from dgunet.paper.written_tables import CELLS, INDEX, check_tables, check_tables_seal, read_cells
from dgunet.project import ProjectFolders
from dgunet.steps.claim_judging import judge_results
from dgunet.steps.commit_comparison import compare_with_commit
from dgunet.steps.computed_cells import cell_difference
from dgunet.steps.result_folders import result_folders
from dgunet.steps.tables import (
    CheckedResult,
    checked_results,
    read_results_and_rows,
    summaries_and_rows,
    with_server_scores,
)
from dgunet.steps.training_curves import training_curves
from dgunet.system.errors import DataError
from dgunet.system.files import sha256_file
from dgunet.system.package_digest import code_version
from dgunet.system.seals import SEAL
from dgunet.terms import Profile, RunTags
from dgunet.tracking import TrackingFolders, lookup, start_run
from dgunet.tracking.index import dirty_to_tag
from dgunet.tracking.run_links import run_links
from dgunet.tracking.ui_links import experiments_url, run_url

EXPERIMENT = "dgunet/report"
"""The MLflow experiment of pages; here and not in `dgunet.project`, on which results depend."""


def make_report(
    profile: str,
    *,
    results: Iterable[Path],
    out: Path,
    home: Path,
    records: Path | None = None,
    overlaps: Path | None = None,
    project: ProjectFolders | None = None,
) -> int:
    """Write the tables of ``results`` as one HTML page; return the number of evaluations in it.

    Args:
        profile: "sample" or "paper": the profile that the evaluations must have.
        results: folders of evaluations.
        out: path of the HTML file.
        home: the project whose index lists the runs that made the results.
        records: folder of the scores that DND's server mailed.
        overlaps: file of ``dgunet data check --overlaps``.
        project: its prepared sets, weights and runs are compared with the results, and its
            prepared sets give the images to show.

    Raises:
        EvaluationError: if a result or a record was changed; see `read_results`.
    """
    from dgunet.steps.report_figures import report_figures  # here, because it imports torch

    checked = list(checked_results(results, project))
    found, rows = summaries_and_rows(checked)
    summaries = with_server_scores(found, records)
    made = build_tables(summaries, profile=profile, rows=rows)
    twins = build_twins(made, summaries, rows=rows, overlaps=known_overlaps(overlaps))
    figures = report_figures(checked, project) if project else []
    links = run_links((summary["per_image_sha256"] for summary in summaries), home)
    claims = _claims(checked, home, links)
    weights = {summary.checkpoint_sha256 for _, summary, _ in checked}
    curves = training_curves(profile, home, project, weights)
    digests = [summary.per_image_sha256 for _, summary, _ in checked]
    evidence = ReportEvidence(claims, curves, digests)
    write_report(made, links, out, twins, figures=figures, written=_written(), evidence=evidence)
    return len(summaries)


def _claims(
    checked: Sequence[CheckedResult], home: Path, links: Mapping[str, RunLink]
) -> ShownClaims:
    """The verdicts on the claims, or why there are none."""
    try:
        judgement = judge_results(checked, home)
    except DataError as error:  # such as a set that was scored under two protocols
        return ShownClaims(reason=f"They cannot be judged on these results: {error}")
    return shown_claims(
        judgement, lambda run: links.get(run.per_image_sha256, RunLink()).web_address
    )


def _written() -> str:
    """Date and code of a page that is written now."""
    return f"Written on {datetime.now(UTC):%Y-%m-%d, %H:%M} UTC by dgunet, code {code_version()}"


@dataclass(frozen=True)
class ProjectReport:
    """What was written, for people, and whether the results differ from the commit's.

    Attributes:
        profile: of the evaluations in it.
        text: where everything is, and the comparison with the commit.
        unexplained: see `dgunet.steps.commit_comparison.Comparison`.
    """

    profile: Profile
    text: str
    unexplained: bool


def write_project_report(here: ProjectFolders) -> ProjectReport:
    """Write ``build/report.html`` from the existing results.

    Raises:
        DgunetError: as `make_report`; if the written tables, which the text names, were changed.
    """
    params = load_params(here.params)
    here, out = here.using(params.weights), here.report
    if any((here.tables / name).exists() for name in (INDEX, CELLS, SEAL)):
        check_tables(here.tables)
    count = make_report(
        params.profile,
        results=result_folders(params, here),
        out=out,
        home=here.home,
        records=here.records,
        overlaps=here.overlaps,
        project=here,
    )
    store = TrackingFolders.at(here.home)
    sample = params.profile == "sample"
    compared = compare_with_commit(here, params.profile)
    lines = [
        f"{count} evaluations, profile {params.profile}"
        + (": SAMPLE numbers, not comparable with the paper" if sample else ""),
        f"tables   {here.tables}  (CSV, Markdown, LaTeX, Parquet)",
        f"report   {out}",
        f"runs     {store.uri}",
        f"         {experiments_url(store)}"
        + ("" if store.uri.scheme in ("http", "https") else "  (after: make mlflow)"),
        *compared.lines,
    ]
    return ProjectReport(params.profile, "\n".join(lines), compared.unexplained)


def record_report(page: Path, profile: Profile, name: str) -> None:
    """Record a page of `write_project_report` as an MLflow run, which shows it among its files.

    Args:
        page: path of the page.
        profile: of the evaluations in it.
        name: name of the run.
    """
    tags = RunTags("report", profile).to_dict()
    with start_run(EXPERIMENT, name, tags=tags, params={}) as run:
        run.set_result(report=sha256_file(page))
        run.log_artifact(page)


def explain_text(here: ProjectFolders, params: Params, table: int, row: str, column: str) -> str:
    """The provenance of one table cell, one fact per line.

    The cell is read from the written tables. If its evaluation is available, the cell is computed
    again from it, and both must agree.

    Raises:
        DgunetError: if the tables are missing or were changed, or have no such cell; the message
            then lists the valid names.
    """
    path = here.tables / CELLS
    if not path.is_file():
        raise DataError(
            f"no tables in {here.tables}.",
            "`dvc repro` makes all results and tables, `dgunet tables` tables of existing results.",
        )
    check_tables(here.tables, sealed=False)
    cell = explain_cell(read_cells(path), table, row, column)
    if difference := cell_difference(cell, _computed_again(here, params, cell)):
        raise DataError(f"{path}: {difference}.", "Make the tables again with `dgunet tables`.")
    check_tables_seal(here.tables)  # at the end, because the other checks name the cell
    facts: dict[str, Any] = dict(cell)
    key = str(cell["per_image_sha256"])
    if DIGEST.fullmatch(key) and (info := lookup(key, here.home)):
        facts |= {
            "run_id": info.run_id,
            "run_url": run_url(info, TrackingFolders.at(here.home)),
            "commit": info.commit,
            "dirty": dirty_to_tag(info.dirty),
        }
    return "\n".join(
        f"{key:20s} {value}" for key, value in facts.items() if value not in (None, "")
    )


def _computed_again(here: ProjectFolders, params: Params, cell: dict[str, Any]) -> dict[str, Any]:
    """The same cell, computed from the available results of its profile."""
    profile = cell["tables_profile"]
    found, rows = read_results_and_rows(result_folders(params, here), here)
    summaries = with_server_scores((s for s in found if s["profile"] == profile), here.records)
    # Only this cell's interval is computed.
    names = str(cell["dataset"]).split()
    own = {s["per_image_sha256"] for s in summaries if s["dataset"] in names}
    needed = {digest: rows[digest] for digest in own if digest in rows}
    cells = cells_frame(build_tables(summaries, profile=profile, rows=needed))
    return explain_cell(cells, cell["table"], cell["row"], f"{cell['column']} {cell['metric']}")
