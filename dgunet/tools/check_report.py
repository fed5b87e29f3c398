"""Check of datasets, recorded as an MLflow run."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dgunet.data.check.dataset_check import (
    Observe,
    check_dataset,
    find_overlaps,
    find_shared_photographs,
    write_report,
)
from dgunet.data.check.reports import DatasetReport, Level, Overlap
from dgunet.project import EXPERIMENTS
from dgunet.terms import RunTags
from dgunet.tracking import Run, start_run

COLUMNS = (
    "dataset",
    "role",
    "layout",
    "pairs",
    "published_pairs",
    "distinct",
    "sizes",
    "kinds",
    "grey_pictures",
    "input_psnr",
    "input_lift",
    "release",
    "digest",
)


def check_and_record(
    names: Sequence[str], root: Path, *, name: str, observe: Observe | None = None
) -> tuple[list[DatasetReport], list[Overlap]]:
    """Check datasets below ``root``; record counts, findings, overlaps and the HTML page in a run.

    The run ends as FINISHED even if errors are found. Its tag ``healthy`` is ``yes`` if no dataset
    has errors.

    Args:
        names: catalogue keys.
        root: folder of the datasets.
        name: name of the run.
        observe: called after each pair.

    Raises:
        DataError: for an unknown dataset.
    """
    tags = RunTags("check").to_dict()
    with start_run(EXPERIMENTS["data"], name, tags=tags, params={"sets": " ".join(names)}) as run:
        reports = [check_dataset(each, root, observe=observe) for each in names]
        overlaps = find_overlaps(reports)
        _record(run, reports, overlaps)
    return reports, overlaps


def _record(run: Run, reports: list[DatasetReport], overlaps: list[Overlap]) -> None:
    run.set_tags({"healthy": "yes" if all(report.healthy for report in reports) else "no"})
    for report in reports:
        run.log_metrics(
            {
                f"{report.dataset}/pairs": report.pairs,
                f"{report.dataset}/distinct": report.distinct,
                f"{report.dataset}/errors": _count(report, "error"),
                f"{report.dataset}/warnings": _count(report, "warning"),
            }
        )
        if report.digest:
            context = "training" if report.role == "train" else "evaluation"
            run.log_dataset(report.dataset, report.digest, report.folder, context)
    sets = [{column: _flat(getattr(report, column)) for column in COLUMNS} for report in reports]
    findings = [
        {"dataset": report.dataset, "level": finding.level, "text": finding.text}
        for report in reports
        for finding in report.findings
    ]
    shared = [
        {"train": overlap.train, "test": overlap.test, "in train": ours, "in test": theirs}
        for overlap in overlaps
        for theirs, ours in overlap.shared
    ]
    run.log_table(pd.DataFrame(sets, columns=COLUMNS), "sets.json")
    run.log_table(pd.DataFrame(findings, columns=["dataset", "level", "text"]), "findings.json")
    columns = ["train", "test", "in train", "in test"]
    run.log_table(pd.DataFrame(shared, columns=columns), "overlaps.json")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "data-check.html"
        write_report(reports, overlaps, page, find_shared_photographs(reports))
        run.log_artifact(page)


def _flat(value: object) -> object:
    """Return ``value`` as one cell of a table; counts by name become one text."""
    if isinstance(value, dict):
        return ", ".join(f"{count} {name}" for name, count in value.items())
    return value


def _count(report: DatasetReport, level: Level) -> int:
    return sum(finding.level == level for finding in report.findings)
