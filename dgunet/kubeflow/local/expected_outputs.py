"""What a local run must have left: looked at itself, not only at exit states.

A container's exit can get lost between the engine and kfp's runner, which then takes it for a
success.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from dgunet.config import parse_params
from dgunet.evaluation.results import find_results, read_result
from dgunet.kubeflow.steps.survey_sets import survey
from dgunet.paper.written_tables import CELLS, check_tables, read_cells
from dgunet.system.errors import DgunetError
from dgunet.terms import ABLATION_SET


class OutputError(DgunetError):
    """A run ended well and did not leave what it should have."""


RESULTS = ("evaluate", "ablate")
"""The steps that measure."""

Result = tuple[str, str, int]
"""Set, row of the table, and ratio (percent; 0 but for compressive sensing)."""


def check_outputs(out: Path, wanted: Collection[Result]) -> dict[str, str]:
    """Where tables and report are, after a look at every result that they rest on.

    Args:
        out: the folder of artifacts.
        wanted: see `wanted_results`.

    Raises:
        OutputError: if an evaluation, a table's cell, or a file is missing.
        EvaluationError: if a result is not what it says; see `read_result`.
        DataError: if a table was changed after it was written.
    """
    folders = [found for step in RESULTS for found in out.rglob(f"{step}/results")]
    # compressive sensing has a folder for each ratio in there
    summaries = [read_result(place) for folder in folders for place in find_results(folder)]
    have = {(s.dataset, s.row, s.ratio or 0) for s in summaries}
    if lacking := sorted(set(wanted) - have):
        name, row, ratio = lacking[0]
        raise OutputError(
            f"{len(lacking)} results are missing in {out}, e.g. {row} on {name}"
            + (f" at {ratio} %." if ratio else "."),
            "The log says what that step did.",
        )
    tables, page = _only(out, "tables/tables"), _only(out, "report/page")
    check_tables(tables)
    shown = set(read_cells(tables / CELLS)["per_image_sha256"].dropna())
    for told in summaries:
        if told.per_image_sha256 not in shown:
            raise OutputError(f"{tables} has no cell of {told.row} on {told.dataset}.")
    if "<html" not in page.read_text(encoding="utf-8")[:1000].lower():
        raise OutputError(f"{page} is no HTML page.")
    return {"tables": str(tables), "report": str(page)}


def present(out: Path, found: Mapping[str, str]) -> dict[str, str]:
    """Copy tables and report to where a person looks: ``out/tables`` and ``out/report.html``."""
    tables, page = out / "tables", out / "report.html"
    shutil.copytree(found["tables"], tables)
    shutil.copyfile(found["report"], page)
    return {"tables": str(tables), "report": str(page)}


def wanted_results(arguments: Mapping[str, Any]) -> set[Result]:
    """Every result that a run with these arguments has to leave.

    Raises:
        DataError: if the data source cannot be read, or has no test set of a network's task.
    """
    rows: set[Result] = {(ABLATION_SET, name, 0) for name in arguments.get("ablations", ())}
    if "test_sets" not in arguments:
        return rows
    params = parse_params(arguments["params"])
    place = (arguments["data_source"], arguments["data_version"])
    for entry in arguments.get("networks", [arguments]):
        task = entry.get("kind") or entry.get("task", "derain")
        there, _ = survey(params, task, arguments["test_sets"], *place)
        variant, ratio = entry.get("variant", "DGUNet"), entry.get("ratio", 0)
        rows |= {(name, variant, ratio) for name in there}
    return rows


def _only(out: Path, end: str) -> Path:
    found = [path for path in out.rglob(end) if path.exists()]
    if len(found) != 1:
        raise OutputError(f"{len(found)} times {end} in {out}, instead of once.")
    return found[0]
