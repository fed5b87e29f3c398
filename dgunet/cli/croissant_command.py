"""``dgunet data croissant``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dgunet.cli import completion


def croissant(
    name: Annotated[
        str,
        typer.Argument(
            help="a prepared dataset, the folder of one, or sample: all of the sample data",
            autocompletion=completion.datasets,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="file to write", show_default="standard output")
    ] = None,
) -> None:
    """Describe a prepared set or the sample data as Croissant 1.1, a form of JSON-LD.

    The description has the licence as its source states it, the citation, and the SHA-256 and
    size of every file. It has no images.

    Example: dgunet data croissant Rain100H --out Rain100H.croissant.json

    Example: dgunet data croissant sample --out docs/sample-data.croissant.json
    """
    from dgunet.data.catalogue.entries import CATALOGUE, FURTHER
    from dgunet.project import ProjectFolders
    from dgunet.system import files
    from dgunet.tools.croissant import SAMPLE, as_text, sample_metadata, store_metadata

    if name == SAMPLE:
        content = sample_metadata(ProjectFolders.here().data(SAMPLE))
    elif name in CATALOGUE or name in FURTHER:
        content = store_metadata(ProjectFolders.here().store(name))
    else:
        content = store_metadata(Path(name))
    if out is None:
        typer.echo(as_text(content), nl=False)
    else:
        files.write_text(out, as_text(content))
        typer.echo(str(out))
