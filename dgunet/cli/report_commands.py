"""``dgunet report`` and ``dgunet status``: what is known, as a page and in the terminal."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    app.command()(report)
    app.command()(status)


def report(
    verify: Annotated[
        bool, typer.Option("--verify", help="exit with 1 if a cell really differs from the commit")
    ] = False,
    name: Annotated[
        str | None,
        typer.Option("--mlflow", metavar="NAME", help="record the page as an MLflow run too"),
    ] = None,
) -> None:
    """Write the HTML report; print where all results are, and compare them with the commit.

    The report, build/report.html, begins with what is known: verdicts on the cells, claims of the
    paper tested, charts. Then it shows the tables with links from each cell to its run. Testing the
    claims takes seconds on the sample and up to half a minute each on large test sets.

    Example: dgunet report

    Example: dgunet report --mlflow "report of the sample"
    """
    from dgunet.project import ProjectFolders
    from dgunet.steps.report import record_report, write_project_report

    here = ProjectFolders.here()
    made = write_project_report(here)
    typer.echo(made.text)
    if name is not None:
        record_report(here.report, made.profile, name)
    if verify and made.unexplained:
        raise typer.Exit(1)


def status(
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Show what is known, what was run last, and what to do next, with its command.

    Reads the written tables, the last report and the local index of runs; it computes and changes
    nothing. Cells are counted by table and verdict, the paper's claims by verdict.

    Example: dgunet status

    Example: dgunet status --json
    """
    import json

    from dgunet.tools.project_status import as_content, as_text, project_status
    from dgunet.tracking import project_home

    found = project_status(project_home())
    typer.echo(json.dumps(as_content(found), indent=2) if as_json else as_text(found))
