"""Checks the outputs that a local run must have written, not only its exit status.

The exit status of a container can get lost between the engine and kfp's runner, which then reports
success.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from dgunet.config import parse_params
from dgunet.evaluation.results import find_results, read_result
from dgunet.kubeflow.steps.survey_sets import available_test_sets
from dgunet.paper.written_tables import CELLS, check_tables, read_cells
from dgunet.system.errors import DgunetError
from dgunet.terms import ABLATION_SET


class OutputError(DgunetError):
    """A run succeeded without writing all of its outputs."""


RESULTS = ("evaluate", "evaluate-ablation")
"""Steps that write results."""

Result = tuple[str, str, int]
"""Test set, row of the table, and ratio (percent; 0 except for compressive sensing)."""


def check_outputs(out: Path, expected: Collection[Result]) -> dict[str, str]:
    """Check all results of a run, and that its tables contain them.

    Args:
        out: the folder of artifacts.
        expected: see `expected_results`.

    Returns:
        The paths of tables and report.

    Raises:
        OutputError: if an evaluation, a table's cell, or a file is missing.
        EvaluationError: if a result is inconsistent; see `read_result`.
        DataError: if a table was changed after it was written.
    """
    folders = [found for step in RESULTS for found in _outputs(out, step, "results")]
    # compressive sensing has one folder for each ratio
    summaries = [read_result(result) for folder in folders for result in find_results(folder)]
    have = {(s.dataset, s.row, s.ratio or 0) for s in summaries}
    if lacking := sorted(set(expected) - have):
        name, row, ratio = lacking[0]
        raise OutputError(
            f"{len(lacking)} results are missing in {out}, e.g. {row} on {name}"
            + (f" at {ratio} %." if ratio else "."),
            "See the step's lines in the log.",
        )
    tables, page = _only(out, "tables", "tables"), _only(out, "report", "page")
    check_tables(tables)
    shown = set(read_cells(tables / CELLS)["per_image_sha256"].dropna())
    for summary in summaries:
        if summary.per_image_sha256 not in shown:
            raise OutputError(f"{tables} has no cell for {summary.row} on {summary.dataset}.")
    if "<html" not in page.read_text(encoding="utf-8")[:1000].lower():
        raise OutputError(f"{page} is not an HTML page.")
    return {"tables": str(tables), "report": str(page)}


def copy_to_top(out: Path, found: Mapping[str, str]) -> dict[str, str]:
    """Copy tables and report to the top of ``out``: ``out/tables`` and ``out/report.html``."""
    tables, page = out / "tables", out / "report.html"
    shutil.copytree(found["tables"], tables)
    shutil.copyfile(found["report"], page)
    return {"tables": str(tables), "report": str(page)}


def expected_results(arguments: Mapping[str, Any]) -> set[Result]:
    """Every result that a run with these arguments has to write.

    Raises:
        DataError: if the data source is unreadable, or has no test set of a network's task.
    """
    rows: set[Result] = {(ABLATION_SET, name, 0) for name in arguments.get("ablations", ())}
    if "test_sets" not in arguments:
        return rows
    params = parse_params(arguments["params"])
    source = (arguments["data_source"], arguments["data_version"])
    for entry in arguments.get("networks", [arguments]):
        task = entry.get("kind") or entry.get("task", "derain")
        existing, _ = available_test_sets(params.profile, task, arguments["test_sets"], *source)
        variant, ratio = entry.get("variant", "DGUNet"), entry.get("ratio", 0)
        rows |= {(name, variant, ratio) for name in existing}
    return rows


def _only(out: Path, step: str, name: str) -> Path:
    found = _outputs(out, step, name)
    if len(found) != 1:
        raise OutputError(f"{out} contains {len(found)} outputs {step}/{name}, expected 1.")
    return found[0]


def _outputs(out: Path, step: str, name: str) -> list[Path]:
    """The output ``name`` of every task of ``step``; kfp numbers further tasks of a component."""
    task = re.compile(rf"{step}(-\d+)?")
    return [path for path in out.rglob(name) if task.fullmatch(path.parent.name)]
