"""What a person reads at the end: the HTML report, and where everything is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dgunet.config import Params, load_params
from dgunet.errors import DataError
from dgunet.paper.explain import explain_cell
from dgunet.paper.formats import read_cells
from dgunet.paper.report import write_report
from dgunet.paper.tables import build_tables
from dgunet.stages.ablations import ABLATIONS
from dgunet.stages.layout import Layout, test_sets
from dgunet.stages.tables import read_results, with_server_scores
from dgunet.tracking import Layout as Store
from dgunet.tracking import RunInfo, lookup
from dgunet.tracking.choosing import run_url


def result_folders(params: Params, here: Layout) -> list[Path]:
    """Where the results of the parameters' networks lie, present or not."""
    return [here.evaluation(name, v) for name in test_sets("all") for v in params.variants] + [
        here.ablation(name) for name in ABLATIONS
    ]


def report(
    params: Params, *, results: Iterable[Path], out: Path, home: Path, records: Path | None = None
) -> int:
    """Write the tables of ``results`` as one HTML page; returns how many evaluations it shows.

    ``home`` knows the MLflow runs behind them, ``records`` holds the scores that DND's server
    mailed.
    """
    summaries = with_server_scores(read_results(results), records)
    made = build_tables(summaries, profile=params.profile)
    write_report(made, links(summaries, home), out)
    return len(summaries)


def write_project_report(here: Layout) -> str:
    """Write ``build/report.html`` from the results there are; returns the closing words."""
    params = load_params(here.params)
    out = here.home / "build" / "report.html"
    results = result_folders(params, here)
    count = report(params, results=results, out=out, home=here.home, records=here.records)
    store = Store.at(here.home)
    sample = params.profile == "sample"
    lines = [
        f"{count} evaluations, profile {params.profile}"
        + (": SAMPLE numbers, not comparable with the paper" if sample else ""),
        f"tables   {here.tables}  (CSV, Markdown, LaTeX, Parquet)",
        f"report   {out}",
        f"runs     {store.uri}",
        "open the runs with: make mlflow",
    ]
    return "\n".join(lines)


def links(summaries: list[dict[str, Any]], home: Path) -> dict[str, dict[str, Any]]:
    """The run behind each result, by the hash of its per-image file."""
    found = {}
    for summary in summaries:
        key = summary["per_image_sha256"]
        if key and (info := lookup(key, home)):
            found[key] = _link(info)
    return found


def _link(info: RunInfo) -> dict[str, Any]:
    return {
        "run_id": info.run_id,
        "run_url": run_url(info),
        "commit": info.commit,
        "dirty": info.dirty,
    }


def explain_text(here: Layout, table: int, row: str, column: str) -> str:
    """Everything behind one table cell, a fact a line.

    Raises:
        DgunetError: if there are no tables yet, or no such cell; the message lists the names.
    """
    path = here.tables / "cells.parquet"
    if not path.is_file():
        raise DataError(f"no tables in {here.tables}.", "Make them with: dgunet tables")
    cell = explain_cell(read_cells(path), table, row, column)
    if cell["per_image_sha256"] and (info := lookup(cell["per_image_sha256"], here.home)):
        cell |= _link(info)
    return "\n".join(f"{key:20s} {value}" for key, value in cell.items() if value is not None)
