"""The command ``dgunet data check``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dgunet.cli import completion

if TYPE_CHECKING:
    from dgunet.data.check.reports import DatasetReport, Overlap

RootOption = Annotated[
    Path | None,
    typer.Option(help="folder that holds the official trees", show_default="data/<profile>"),
]


def check(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="datasets to check",
            show_default="all under --root",
            autocompletion=completion.datasets,
        ),
    ] = None,
    root: RootOption = None,
    out: Annotated[
        Path | None,
        typer.Option(help="also write the report to this file, .html or .json"),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="fail for warnings and overlaps too, not only for errors"),
    ] = False,
    run_name: Annotated[
        str | None,
        typer.Option(
            "--mlflow", metavar="NAME", help="record the check as an MLflow run of this name"
        ),
    ] = None,
    overlaps_file: Annotated[
        Path | None,
        typer.Option(
            "--overlaps",
            metavar="FILE",
            help="add what every training set shares with every test set to this file; "
            "`dgunet tables` reads records/overlaps.json",
        ),
    ] = None,
) -> None:
    """Check datasets on disk: pairs, sizes, pixels, release, repeated images, test-set leakage.

    The exit status is 1 if a dataset has an error, with --strict also for warnings (another
    release, a part of a dataset) and for photographs that are in a training set and in a test set.
    Every training set is compared with every test set. Photographs that two test sets share are
    noted; they are no leak.

    Example: dgunet data check

    Example: dgunet data check Rain100H Rain13K --root data/paper --out build/data-check.html

    Example: dgunet data check GoPro --root data/paper --strict

    Example: dgunet data check --mlflow "after the new archives"

    Example: dgunet data check Rain13K Rain100L Rain100H --overlaps records/overlaps.json
    """
    from dgunet.data.check.dataset_check import (
        check_dataset,
        find_overlaps,
        find_shared_photographs,
        write_report,
    )

    root = root or default_root()
    names = names or _present_datasets(root)
    if run_name is None:
        reports = [check_dataset(name, root, observe=_show_progress) for name in names]
        overlaps = find_overlaps(reports)
    else:
        from dgunet.tools.check_report import check_and_record

        reports, overlaps = check_and_record(names, root, name=run_name, observe=_show_progress)
    shared = find_shared_photographs(reports)
    _print_reports(reports, overlaps)
    for each in shared:
        typer.echo(f"note: {each.text()}")
    if out is not None:
        write_report(reports, overlaps, out, shared)
        typer.echo(f"report in {out}")
    if overlaps_file is not None:
        from dgunet.data.catalogue.overlaps import write_overlaps
        from dgunet.data.check.overlap_records import overlap_records

        records = overlap_records(reports, overlaps)
        write_overlaps(records, overlaps_file)
        typer.echo(f"{len(records)} pairs of training and test sets in {overlaps_file}")
    warned = any(f.level == "warning" for report in reports for f in report.findings)
    if not all(report.healthy for report in reports) or (strict and (warned or overlaps)):
        raise typer.Exit(1)


def _print_reports(reports: list[DatasetReport], overlaps: list[Overlap]) -> None:
    from tabulate import tabulate

    rows = [
        (
            report.dataset,
            f"{report.pairs:,}/{report.published_pairs:,}",
            report.distinct,
            ", ".join(f"{count:,} {kind}" for kind, count in report.kinds.items()),
            "" if report.input_psnr is None else f"{report.input_psnr:.2f}",
            report.release or "-",
            "ok" if report.healthy else "ERROR",
        )
        for report in reports
    ]
    headers = ("dataset", "pairs", "distinct", "files", "input PSNR", "release", "")
    typer.echo(tabulate(rows, headers, tablefmt="plain", disable_numparse=True))
    for report in reports:
        for finding in report.findings:
            typer.echo(f"{report.dataset}: {finding.level}: {finding.text}")
    for overlap in overlaps:
        typer.echo(f"overlap: {overlap.text()}")


def _show_progress(name: str, done: int, total: int) -> None:
    """Show a counter on a terminal; elsewhere a line for each tenth of a large dataset."""
    if sys.stderr.isatty():
        print(f"\r{name}: {done}/{total} ", end="\n" if done == total else "", file=sys.stderr)
    elif total >= 1000 and done * 10 // total != (done - 1) * 10 // total:
        print(f"{name}: {done}/{total}", file=sys.stderr)


def default_root() -> Path:
    """The datasets of the active profile."""
    from dgunet.config import load_params
    from dgunet.project import ProjectFolders

    here = ProjectFolders.here()
    return here.data(load_params(here.params).profile)


def _present_datasets(root: Path) -> list[str]:
    from dgunet.data.readers.folder_layouts import datasets_under
    from dgunet.system.errors import DataError

    found = datasets_under(root)
    if not found:
        raise DataError(
            f"there is no known dataset under {root}.", "`dgunet data list` shows the known ones."
        )
    return found
