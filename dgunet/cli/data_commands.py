"""Commands for datasets: ``dgunet data list | info | cards | sample | prepare | verify | check``.

``check`` is in `dgunet.cli.data_check_command`, ``croissant`` in `dgunet.cli.croissant_command`;
``import``, ``fetch`` and ``sources`` are in `dgunet.cli.data_acquisition_commands`. The signature
of a command lists all of its options, which makes some functions long.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dgunet.cli import completion
from dgunet.cli.croissant_command import croissant
from dgunet.cli.data_acquisition_commands import (
    DatasetName,
    fetch,
    import_archive,
    sources_command,
)
from dgunet.cli.data_check_command import RootOption, check

if TYPE_CHECKING:
    from dgunet.data.store.manifest import StoreManifest

data = typer.Typer(
    name="data",
    help="Datasets: catalogue, sample data, import, check and preparation.\n\n"
    "Example: dgunet data info Rain100H",
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
    part: Annotated[
        str | None,
        typer.Option(help="write only a part of the store's files, e.g. 2/4: the second of four"),
    ] = None,
) -> None:
    """Check a dataset and write its store: both images of each pair, with their origin.

    Parts may run at the same time, on machines that share the images and the folder of the store.
    The command without --part then writes the store; it adds what no part has written.

    Example: dgunet data prepare Rain100H

    Example: dgunet data prepare Set11 --root ~/archives --out build/prepared/Set11

    Example: dgunet data prepare SIDD-train --recipe released --layout compact

    Example: dgunet data prepare Test2800 --part 2/4
    """
    from dgunet.config import load_params
    from dgunet.project import ProjectFolders
    from dgunet.steps.prepare import prepare_store, prepare_store_part

    here = ProjectFolders.here()
    params = load_params(params_file or here.params)
    root, out = root or here.data(params.profile), out or here.store(name)
    if part is not None:
        typer.echo(
            prepare_store_part(
                name, part, root=root, out=out, recipe=recipe.value, layout=layout.value
            )
        )
        return
    manifest = prepare_store(
        params.profile, name, root=root, out=out, recipe=recipe.value, layout=layout.value
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
        list[str],
        typer.Argument(
            metavar="NAME...",
            help="prepared datasets, or folders of stores",
            autocompletion=completion.datasets,
        ),
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
data.command()(croissant)


data.command()(check)
