"""Verbs of the data room: ``dgunet data list | info | cards | sample | prepare | verify |
import | fetch | check``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Optional

import typer

data = typer.Typer(
    name="data",
    help="The data sets: what they are, the sample, preparation.",
    no_args_is_help=True,
)


class RecipeChoice(StrEnum):
    """Recipes of `dgunet.data.store.preparation_recipes`."""

    whole = "whole"
    paper = "paper"
    released = "released"


class LayoutChoice(StrEnum):
    """Layouts of `dgunet.data.store.pair_store`."""

    raw = "raw"
    compact = "compact"


Name = Annotated[str, typer.Argument(help="a set of `dgunet data list`, e.g. Rain100H")]


def register(app: typer.Typer) -> None:
    """Add this module's verbs to ``app``."""
    app.add_typer(data)


@data.command("list")
def list_sets() -> None:
    """List every set the paper trains or tests on.

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
            " - ".join(filter(None, [info.title, info.twelfth, info.further])),
        )
        for info in (*CATALOGUE.values(), *FURTHER.values())
    ]
    headers = ("set", "task", "role", "pairs", "protocol", "tables", "title")
    align = ("left",) * 3 + ("right",) + ("left",) * 3
    typer.echo(tabulate(rows, headers, tablefmt="plain", disable_numparse=True, colalign=align))


@data.command()
def info(name: Name) -> None:
    """Show one set: where it is expected, how it pairs, its variants, rights and source.

    Example: dgunet data info Rain100H
    """
    from dgunet.tools.data_cards import card_lines

    for line in card_lines(name):
        typer.echo(line)


@data.command()
def cards() -> None:
    """Print the cards of all sets as Markdown.

    Example: dgunet data cards > docs/data-cards.md
    """
    from dgunet.tools.data_cards import cards_markdown

    typer.echo(cards_markdown(), nl=False)


@data.command()
def sample(
    out: Annotated[Path, typer.Option(help="folder to write, replaced if it is there")],
) -> None:
    """Make the sample data again: small pictures laid out as the official archives are.

    Example: dgunet data sample --out data/sample
    """
    from dgunet.data.sample.generate import generate_sample

    generate_sample(out)
    count = sum(1 for path in out.rglob("*") if path.is_file())
    typer.echo(f"{count} files in {out}")


@data.command()
def prepare(
    name: Name,
    root: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads the annotation
        typer.Option(help="folder that holds the official trees [default: data/<profile>]"),
    ] = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="store to write, replaced if it is there [default: build/prepared/NAME]"),
    ] = None,
    recipe: Annotated[
        RecipeChoice,
        typer.Option(help="whole pictures, or a training set as the paper or its code prepares it"),
    ] = RecipeChoice.whole,
    layout: Annotated[
        LayoutChoice,
        typer.Option(help="raw: crops cost nothing; compact: about PNG's disk, crops decode"),
    ] = LayoutChoice.raw,
    params_file: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--params", help="parameter file [default: the project's params.yaml]"),
    ] = None,
) -> None:
    """Check a set and write its store: both images of a pair together, with provenance.

    Example: dgunet data prepare Rain100H
    Example: dgunet data prepare Set11 --root ~/archives --out build/prepared/Set11
    Example: dgunet data prepare SIDD-train --recipe released --layout compact
    """
    from dgunet.config import load_params
    from dgunet.project import ProjectFolders
    from dgunet.steps import prepare as stage

    here = ProjectFolders.here()
    params = load_params(params_file or here.params)
    manifest = stage.prepare(
        params,
        name,
        root=root or here.data(params.profile),
        out=out or here.store(name),
        recipe=recipe.value,
        layout=layout.value,
    )
    typer.echo(
        f"{manifest.dataset}: {manifest.count} of {manifest.published_count} pairs"
        f" ({manifest.profile}), digest {manifest.digest[:12]}"
    )
    for doubt in manifest.doubts:
        typer.echo(f"{manifest.dataset}: warning: {doubt}")
    if manifest.doubts:
        typer.echo(
            "Its results do not count as the benchmark's: tables will say partial."
            f" `dgunet data check {manifest.dataset}` says more.",
            err=True,
        )


@data.command()
def verify(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="prepared sets, or stores")],
) -> None:
    """Read prepared stores whole: every byte, every record, the digest from the pixels.

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


@data.command("import")
def import_set(
    name: Name,
    source: Annotated[Path, typer.Argument(help="a zip or tar archive, or a folder")],
    part: Annotated[
        bool, typer.Option("--part", help="take a folder that has only some of the pairs")
    ] = False,
    root: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="folder of the official trees [default: data/paper]"),
    ] = None,
) -> None:
    """Bring a set in from an archive or a folder, however it is nested.

    Example: dgunet data import Rain100H ~/Downloads/Rain100H.zip
    Example: dgunet data import Rain13K ~/a-few-rainy-pictures --part
    """
    from dgunet.data.acquisition.importing import import_dataset
    from dgunet.project import ProjectFolders

    imported = import_dataset(name, source, root or ProjectFolders.here().data("paper"), part=part)
    for line in (imported.line(), *imported.remarks()):
        typer.echo(line)


@data.command()
def fetch(
    name: Name,
    sources: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(metavar="URL...", help="mirrors of one archive: http(s), s3, file or paths"),
    ] = None,
    sha256: Annotated[str, typer.Option(help="of the archive; it is refused if it differs")] = "",
    single: Annotated[
        bool,
        typer.Option("--files", help="the URLs are the set's files, not mirrors of an archive"),
    ] = False,
    dvc: Annotated[
        str, typer.Option(metavar="REPO", help="git repository with DVC, in place of URLs")
    ] = "",
    rev: Annotated[str, typer.Option(help="with --dvc: commit, tag or branch")] = "",
    dvc_folder: Annotated[
        str, typer.Option(help="with --dvc: the folder there that holds train/ and test/")
    ] = "data/paper",
    root: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="folder of the official trees [default: data/paper]"),
    ] = None,
    downloads: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="where the archive lies while it comes [default: build/downloads]"),
    ] = None,
) -> None:
    """Download a set, verify it and import it; run it again to go on after a break.

    The mirrors are tried in turn. Without --sha256 only a release whose pixels the catalogue knows
    is accepted, if it knows one. For s3 the credentials are AWS_ACCESS_KEY_ID and
    AWS_SECRET_ACCESS_KEY, the server AWS_ENDPOINT_URL.

    With --dvc the set comes from the DVC remote of a repository at --rev, and is verified by the
    .dvc file there.

    Example: dgunet data fetch Rain100H https://a.example.org/Rain100H.zip s3://mirror/Rain100H.zip
    Example: dgunet data fetch SIDD --files https://a.example.org/ValidationNoisyBlocksSrgb.mat
    https://a.example.org/ValidationGtBlocksSrgb.mat#sha256=...
    Example: dgunet data fetch GoPro --dvc https://git.example.org/derain.git --rev v1.2
    """
    from dgunet.data.acquisition.fetching import fetch_dataset
    from dgunet.data.acquisition.loose_files import fetch_files
    from dgunet.project import ProjectFolders
    from dgunet.system.errors import ConfigError
    from dgunet.tools.dvc_fetch import fetch_from_dvc

    if bool(sources) == bool(dvc) or bool(dvc) != bool(rev):
        raise ConfigError(
            "the source is not clear.", "Name one or more URLs, or --dvc REPO and --rev REV."
        )
    root = root or ProjectFolders.here().data("paper")
    if dvc:
        with _amount_shown(name, " files") as observe:
            fetched = fetch_from_dvc(name, dvc, rev, root, folder=dvc_folder, observe=observe)
    elif single:
        downloads = downloads or ProjectFolders.here().home / "build" / "downloads"
        with _amount_shown(name, "B") as observe:
            fetched = fetch_files(name, sources or [], root, downloads, observe=observe)
    else:
        downloads = downloads or ProjectFolders.here().home / "build" / "downloads"
        with _amount_shown(name, "B") as observe:
            fetched = fetch_dataset(
                name,
                sources or [],
                root,
                downloads,
                sha256=sha256,
                observe=observe,
                refused=_complain,
            )
    for line in fetched.lines():
        typer.echo(line)


@data.command()
def check(
    names: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(help="sets to check [default: all that lie under --root]"),
    ] = None,
    root: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="folder that holds the official trees [default: data/<profile>]"),
    ] = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="also write the report here, .html or .json"),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="warnings and overlaps fail too, not only errors")
    ] = False,
    run_name: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--mlflow", metavar="NAME", help="make it an MLflow run of this name"),
    ] = None,
) -> None:
    """Examine sets on disk: counts, pairs, sizes, every pixel, release, repetitions, leakage.

    Exits with 1 if a set has an error, with --strict also for warnings (another release, a part of
    a set) and for photographs that are in a training set and in a test set. Compares every training
    set with every test set.

    Example: dgunet data check
    Example: dgunet data check Rain100H Rain13K --root data/paper --out build/data-check.html
    Example: dgunet data check GoPro --root data/paper --strict
    Example: dgunet data check --mlflow "after the new archives"
    """
    from tabulate import tabulate

    from dgunet.data.check.dataset_check import check_dataset, find_overlaps, write_report

    root = root or _project_root()
    names = names or _present(root)
    if run_name is None:
        reports = [check_dataset(name, root, observe=_progress) for name in names]
        overlaps = find_overlaps(reports)
    else:
        from dgunet.tools.check_report import check_and_record

        reports, overlaps = check_and_record(names, root, name=run_name, observe=_progress)
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
    headers = ("set", "pairs", "distinct", "files", "input PSNR", "release", "")
    typer.echo(tabulate(rows, headers, tablefmt="plain", disable_numparse=True))
    for report in reports:
        for finding in report.findings:
            typer.echo(f"{report.dataset}: {finding.level}: {finding.text}")
    for overlap in overlaps:
        typer.echo(f"overlap: {overlap.text()}")
    if out is not None:
        write_report(reports, overlaps, out)
        typer.echo(f"report in {out}")
    warned = any(f.level == "warning" for report in reports for f in report.findings)
    if not all(report.healthy for report in reports) or (strict and (warned or overlaps)):
        raise typer.Exit(1)


def _progress(name: str, done: int, total: int) -> None:
    """A counter on a terminal; elsewhere a line at each tenth of long work."""
    if sys.stderr.isatty():
        print(f"\r{name}: {done}/{total} ", end="\n" if done == total else "", file=sys.stderr)
    elif total >= 1000 and done * 10 // total != (done - 1) * 10 // total:
        print(f"{name}: {done}/{total}", file=sys.stderr)


def _complain(line: str) -> None:
    typer.echo(f"refused: {line}", err=True)


@contextmanager
def _amount_shown(name: str, unit: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on a terminal; elsewhere a line every half minute."""
    from tqdm import tqdm

    pause = 0.1 if sys.stderr.isatty() else 30
    with tqdm(desc=name, unit=unit, unit_scale=True, mininterval=pause, delay=0.5) as bar:

        def observe(here: int, total: int | None) -> None:
            bar.total = total
            bar.update(here - bar.n)

        yield observe


def _project_root() -> Path:
    from dgunet.config import load_params
    from dgunet.project import ProjectFolders

    here = ProjectFolders.here()
    return here.data(load_params(here.params).profile)


def _present(root: Path) -> list[str]:
    from dgunet.data.readers.folder_layouts import sets_under
    from dgunet.system.errors import DataError

    found = sets_under(root)
    if not found:
        raise DataError(f"no known set under {root}.", "`dgunet data list` names the sets.")
    return found
