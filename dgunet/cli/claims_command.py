"""``dgunet claims``: whether the paper's statements hold on the results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command("claims")(claims)


def claims(
    results: Annotated[
        list[Path] | None,
        typer.Argument(
            help="folders of evaluations; several trainings of a network count as such",
            show_default="those of `dgunet tables`",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="print a Markdown table")] = False,
    name: Annotated[
        str | None,
        typer.Option(
            "--mlflow", metavar="NAME", help="record the verdicts as an MLflow run of this name"
        ),
    ] = None,
) -> None:
    """Test the paper's claims on the results: which hold, which do not, which nothing can tell.

    A claim, such as "PSNR grows with the number of stages", is tested image by image, against the
    smallest effect that matters, at 5 % for all claims together (Holm). The verdicts:

    supported: the effect is above the smallest one that matters.

    contradicted: it is below; an effect that matters is excluded.

    inconclusive: neither is shown. "Detectable" is the effect that these data would have shown with
    a probability of 80 %.

    not testable here: a result is missing, and the line says which.

    All are about the scale that was run (profile, training steps, trainings). Those of the sample
    are about the sample only. A claim that was changed after the runs that judge it is marked.

    Example: dgunet claims

    Example: dgunet claims --markdown

    Example: dgunet claims --mlflow "claims of the sample"

    Example: dgunet claims seeds/1/build seeds/2/build seeds/3/build --json
    """
    import json

    from dgunet.paper.claims.claim_text import as_json as as_content
    from dgunet.paper.claims.claim_text import as_markdown, as_text, facts
    from dgunet.project import ProjectFolders
    from dgunet.steps.claim_judging import judge_project, record_judgement
    from dgunet.system.errors import ConfigError

    if as_json and markdown:
        raise ConfigError("--json and --markdown are two formats.", "Give one of them.")
    judgement = judge_project(ProjectFolders.here(), results or ())
    if name is not None:
        record_judgement(judgement, name, map(facts, judgement.claims))
    if as_json:
        typer.echo(json.dumps(as_content(judgement), indent=2))
    else:
        typer.echo(as_markdown(judgement) if markdown else as_text(judgement))
