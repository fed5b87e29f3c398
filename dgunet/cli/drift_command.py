"""``dgunet drift``: how many digits of each score two sets of results share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command("drift")(drift)


def drift(
    first: Annotated[Path, typer.Argument(help="folder of scores, e.g. results/sample/trained")],
    second: Annotated[Path, typer.Argument(help="the same of another machine or commit")],
) -> None:
    """Show which digits of each score survive between two folders of results.

    The verdict of a cell is "same bits", "same to n digits", or "differs" where the difference is
    larger than other kernels explain; the exit status is then 1.

    Example: dgunet drift results/sample/trained results/sample/trained
    """
    from dgunet.steps.drift import drift_table, paired, read_scores

    pairs = paired(read_scores(first), read_scores(second))
    typer.echo(drift_table(pairs))
    if any(pair.differs for pair in pairs):
        raise typer.Exit(1)
