"""``dgunet runs``: list, filter and compare runs in the terminal."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated

import typer

from dgunet.cli import completion
from dgunet.system.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dgunet.tracking import RunInfo


Text = str | None


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command()(runs)


def runs(
    table: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=6,
            help="only runs of this table of the paper",
            autocompletion=completion.table_numbers,
        ),
    ] = None,
    campaign: Annotated[Text, typer.Option(help="only runs of this campaign")] = None,
    stage: Annotated[
        Text, typer.Option(help="only runs of this step: train, evaluate, ...")
    ] = None,
    task: Annotated[
        Text,
        typer.Option(help="only derain, deblur, denoise or cs", autocompletion=completion.tasks),
    ] = None,
    status: Annotated[
        Text,
        typer.Option(
            help="only FINISHED, FAILED, KILLED or RUNNING", autocompletion=completion.statuses
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(help="only runs with this tag or parameter, KEY=VALUE; may be repeated"),
    ] = None,
    show: Annotated[
        list[str] | None,
        typer.Option(help="further column: a metric, parameter or tag; may be repeated"),
    ] = None,
    sort: Annotated[str, typer.Option(help="sort by this metric, parameter or tag")] = "",
    compare: Annotated[
        bool, typer.Option("--compare", help="show what differs, one column per run")
    ] = False,
    links: Annotated[
        bool,
        typer.Option(
            "--links", help="also print the addresses of the charts and the comparison in MLflow"
        ),
    ] = False,
    server: Annotated[
        bool,
        typer.Option(
            "--server", help="read all runs from MLflow, including those of other machines"
        ),
    ] = False,
) -> None:
    """List, filter and compare runs, including those that wait to be sent to MLflow.

    Without --server the command reads the local index only, which is fast.

    Example: dgunet runs --table 1 --stage evaluate --show psnr --sort psnr

    Example: dgunet runs --table 5 --stage evaluate --compare

    Example: dgunet runs --where dataset=Rain100H --where variant=DGUNet --server
    """
    from dgunet.tracking import TrackingFolders, delivered, pending
    from dgunet.tracking.index import in_mlflow
    from dgunet.tracking.run_selection import RunQuery, select_runs

    layout = TrackingFolders.at()
    named = {"campaign": campaign, "stage": stage, "task": task, "status": _state(status)}
    facts = {key: value for key, value in named.items() if value is not None}
    wanted = RunQuery(table, facts | dict(_pair(text) for text in where or []))
    known = (in_mlflow(layout) if server else delivered(layout)) + pending(layout)
    chosen = select_runs(known, wanted, sort=sort)
    _refuse_unknown(chosen, [*([sort] if sort else []), *(show or [])])
    if not known:
        typer.echo("no runs yet; `dgunet train`, `dgunet evaluate` and `dvc repro` record some")
    elif not chosen:
        typer.echo("no runs")
    elif compare and len(chosen) == 1:
        typer.echo(f"only {chosen[0].name!r} matches; a comparison needs two runs")
    elif compare:
        typer.echo(_comparison(chosen))
    else:
        typer.echo(_list(chosen, show or []))
    if links:
        for line in link_lines(chosen, table):
            typer.echo(line)


def link_lines(chosen: Sequence[RunInfo], table: int | None = None) -> list[str]:
    """Addresses of the view of ``table``, the charts, and the comparison of the runs in MLflow."""
    from dgunet.tracking.run_selection import latest_finished
    from dgunet.tracking.saved_views import view_id
    from dgunet.tracking.ui_links import charts_url, compare_url, view_url

    last = latest_finished(chosen)
    views = [view_url(info, view_id(table)) for info in last] if table else []
    lines = [f"runs by PSNR:         {url}" for url in dict.fromkeys(views) if url]
    charts = dict.fromkeys(url for info in last if (url := charts_url(info)))
    lines += [f"charts:               {url}" for url in charts]
    if together := compare_url(last):
        lines.append(f"parallel coordinates: {together}")
    return lines or ["MLflow has none of these runs yet; send them with: dgunet tracking sync"]


def print_comparison_links(table: int, stage: str) -> None:
    """Print the addresses of the view of a table, its charts and the comparison of its runs."""
    from dgunet.tracking import TrackingFolders, delivered
    from dgunet.tracking.run_selection import RunQuery, select_runs

    chosen = select_runs(delivered(TrackingFolders.at()), RunQuery(table, {"stage": stage}))
    for line in link_lines(chosen, table):
        typer.echo(line)


def _state(status: str | None) -> str | None:
    if status is not None and status.upper() not in completion.STATES:
        raise ConfigError(
            f"--status {status!r} is not a status of MLflow.",
            f"Use one of {', '.join(completion.STATES)}.",
        )
    return status and status.upper()


def _refuse_unknown(chosen: Sequence[RunInfo], keys: list[str]) -> None:
    """Refuse a key that no listed run has, which would only give an empty column."""
    known = {key for info in chosen for key in info.facts()}
    for key in keys:
        if chosen and key not in known:
            if near := get_close_matches(key, known, 3):
                hint = f"Similar names: {', '.join(near)}."
            else:
                metrics = sorted({metric for info in chosen for metric in info.metrics})
                hint = f"Use a tag, a parameter or one of the metrics {', '.join(metrics)}."
            raise ConfigError(f"none of these runs has {key!r}.", hint)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"--where {text!r} is not KEY=VALUE.", "For example: --where row=DGUNet")
    return key, value


def _list(chosen: Sequence[RunInfo], show: list[str]) -> str:
    from tabulate import tabulate

    rows = [
        [
            info.name,
            info.status,
            info.stage,
            info.campaign,
            info.commit[:8],
            *(_short(info.facts().get(key)) for key in show),
            info.run_id or "waiting",
        ]
        for info in chosen
    ]
    headers = ["name", "status", "stage", "campaign", "commit", *show, "MLflow run"]
    return str(tabulate(rows, headers, disable_numparse=True))


def _comparison(chosen: Sequence[RunInfo]) -> str:
    from tabulate import tabulate

    from dgunet.tracking.run_selection import differing_facts

    rows = [[name, *map(_short, values)] for name, values in differing_facts(chosen)]
    return str(tabulate(rows, ["", *(info.name for info in chosen)], disable_numparse=True))


def _short(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.5g}"
    text = str(value)
    return text if len(text) <= 24 else f"{text[:21]}..."
