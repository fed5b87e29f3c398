"""Commands for datasets: ``dgunet data list | info | cards | sample | prepare | verify | check``.

``import``, ``fetch`` and ``sources`` are in `dgunet.cli.data_acquisition_commands`. The signature
of a command lists all of its options, which makes some functions long.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dgunet.cli.data_acquisition_commands import (
    DatasetName,
    fetch,
    import_archive,
    sources_command,
)

if TYPE_CHECKING:
    from dgunet.data.check.reports import DatasetReport, Overlap
    from dgunet.data.store.manifest import StoreManifest

data = typer.Typer(
    name="data",
    help="Datasets: catalogue, sample data, import, check and preparation.\n\n"
    "Example: dgunet data info Rain100H",
    no_args_is_help=True,
)


RootOption = Annotated[
    Path | None,
    typer.Option(help="folder that holds the official trees", show_default="data/<profile>"),
]


class RecipeChoice(StrEnum):
    """Recipes of `dgunet.data.store.preparation_recipes`."""

    whole = "whole"
    paper = "paper"
    released = "released"


class LayoutChoice(StrEnum):
    """Layouts of `dgunet.data.store.pair_store`."""

    raw = "raw"
    compact = "compact"


def register(app: typer.Typer) -> None:
    """Add the ``data`` commands to ``app``."""
    app.add_typer(data)


@data.command("list")
def list_datasets() -> None:
    """List all known datasets: those that the paper trains or tests on, and further ones.

    Example: dgunet data list
    """
    from tabulate import tabulate

    from dgunet.data.catalogue.entries import CATALOGUE, FURTHER

    rows = [
        (
            info.name,
            info.task,
            info.role,
            f"{info.pairs:,}",
            info.protocol,
            " ".join(map(str, info.tables)) or "-",
            " - ".join(filter(None, [info.title, info.print_note, info.twelfth, info.further])),
        )
        for info in (*CATALOGUE.values(), *FURTHER.values())
    ]
    headers = ("dataset", "task", "role", "pairs", "protocol", "tables", "title")
    align = ("left",) * 3 + ("right",) + ("left",) * 3
    typer.echo(tabulate(rows, headers, tablefmt="plain", disable_numparse=True, colalign=align))


@data.command()
def info(name: DatasetName) -> None:
    """Show one dataset: expected folders, pairing, variants, licence and source.

    Example: dgunet data info Rain100H
    """
    from dgunet.tools.data_cards import card_lines

    for line in card_lines(name):
        typer.echo(line)


@data.command()
def cards() -> None:
    """Print the cards of all datasets as Markdown.

    Example: dgunet data cards > docs/data-cards.md
    """
    from dgunet.tools.data_cards import cards_markdown

    typer.echo(cards_markdown(), nl=False)


@data.command()
def sample(
    out: Annotated[Path, typer.Option(help="folder to write; an existing one is replaced")],
) -> None:
    """Generate the sample data: small images in the folder trees of the official archives.

    Example: dgunet data sample --out data/sample
    """
    from dgunet.data.sample.generate import generate_sample

    generate_sample(out)
    count = sum(1 for path in out.rglob("*") if path.is_file())
    typer.echo(f"{count} files in {out}")


@data.command()
def prepare(
    name: DatasetName,
    root: RootOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="store to write; an existing one is replaced", show_default="build/prepared/NAME"
        ),
    ] = None,
    recipe: Annotated[
        RecipeChoice,
        typer.Option(
            help="whole: the images as they are; paper, released: a training set as the paper or"
            " the authors' code prepares it"
        ),
    ] = RecipeChoice.whole,
    layout: Annotated[
        LayoutChoice,
        typer.Option(
            help="raw: fast crops, more disk space; compact: as small as PNG, slower crops"
        ),
    ] = LayoutChoice.raw,
    params_file: Annotated[
        Path | None,
        typer.Option("--params", help="parameter file", show_default="the project's params.yaml"),
    ] = None,
) -> None:
    """Check a dataset and write its store: both images of each pair, with their origin.

    Example: dgunet data prepare Rain100H

    Example: dgunet data prepare Set11 --root ~/archives --out build/prepared/Set11

    Example: dgunet data prepare SIDD-train --recipe released --layout compact
    """
    from dgunet.config import load_params
    from dgunet.project import ProjectFolders
    from dgunet.steps.prepare import prepare_store

    here = ProjectFolders.here()
    params = load_params(params_file or here.params)
    manifest = prepare_store(
        params.profile,
        name,
        root=root or here.data(params.profile),
        out=out or here.store(name),
        recipe=recipe.value,
        layout=layout.value,
    )
    _print_manifest(manifest)


def _print_manifest(manifest: StoreManifest) -> None:
    from dgunet.data.catalogue.entries import counted

    pairs = counted(manifest.dataset, manifest.count, manifest.published_count, "pairs")
    typer.echo(f"{manifest.dataset}: {pairs} ({manifest.profile}), digest {manifest.digest[:12]}")
    for doubt in manifest.doubts:
        typer.echo(f"{manifest.dataset}: warning: {doubt}")
    if manifest.doubts:
        typer.echo(
            "Its results are not comparable with the benchmark: tables mark them as partial."
            f" `dgunet data check {manifest.dataset}` shows the details.",
            err=True,
        )


@data.command()
def verify(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="prepared datasets, or folders of stores")
    ],
) -> None:
    """Verify prepared stores completely: every byte, every record, the digest of the pixels.

    Example: dgunet data verify Rain100H Set11

    Example: dgunet data verify build/prepared/Rain100H
    """
    from dgunet.data.catalogue.entries import CATALOGUE, FURTHER
    from dgunet.data.store.pair_store import PairStore
    from dgunet.project import ProjectFolders

    for name in names:
        known = name in CATALOGUE or name in FURTHER
        store = PairStore.open(
            ProjectFolders.here().store(name) if known else Path(name), check=False
        )
        store.verify()
        typer.echo(f"{store.folder}: {len(store)} records, digest {store.manifest.digest}")


data.command("import")(import_archive)
data.command()(fetch)
data.command("sources")(sources_command)


@data.command()
def check(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="datasets to check", show_default="all under --root"),
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

    root = root or _default_root()
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


def _default_root() -> Path:
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
