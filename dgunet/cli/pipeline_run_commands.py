"""Commands for the runs of pipelines: status, logs, cancel."""

from __future__ import annotations

from typing import Annotated

import typer

from dgunet.cli.server_connection import Connection, with_connection

RunId = Annotated[str, typer.Argument(help="id of the run")]


def add_run_commands(pipeline: typer.Typer) -> None:
    """Add the commands of this module to ``dgunet pipeline``."""
    for command in (status, logs, cancel):
        pipeline.command()(command)


@with_connection
def status(
    connection: Connection,
    run_id: Annotated[
        str | None,
        typer.Argument(help="id of the run", show_default="the last runs on this machine"),
    ] = None,
) -> None:
    """Print the state of a run and its tasks; without an id, list the last runs on this machine.

    Example: dgunet pipeline status

    Example: dgunet pipeline status 0b1c2d3e-... --host https://kubeflow.example.org/pipeline
    """
    from dgunet.kubeflow import run_records
    from dgunet.project import ProjectFolders

    if run_id is None:
        found = run_records.last(ProjectFolders.here().home, 10)
        lines = map(run_records.summary_line, found)
        typer.echo("\n".join(lines) or "there are no runs on this machine")
    elif run_records.is_local(run_id):
        typer.echo(run_records.status_text(ProjectFolders.here().home, run_id))
    else:
        from dgunet.kubeflow.submission.run_status import status_text

        typer.echo(status_text(connection.server(), run_id))


@with_connection
def logs(
    run_id: RunId,
    step: Annotated[
        str | None,
        typer.Option(help="only this step, e.g. train"),
    ] = None,
    *,
    connection: Connection,
    context: Annotated[
        str | None,
        typer.Option(help="context of the kubeconfig", show_default="the current one"),
    ] = None,
) -> None:
    """Print the logs of a run's pods, read with a kubeconfig, or of a run on this machine.

    The pipelines API has no logs; without a kubeconfig, its error messages are printed.

    Example: dgunet pipeline logs 0b1c2d3e-... --step train --namespace team
    """
    from dgunet.kubeflow import run_records
    from dgunet.project import ProjectFolders
    from dgunet.system.errors import ConfigError

    if run_records.is_local(run_id):
        home = ProjectFolders.here().home
        if step is not None:
            raise ConfigError("the steps of a local run share one log.", "Omit --step.")
        run_records.read(home, run_id)
        log = run_records.folder(home, run_id) / "log.txt"
        typer.echo("\n".join(run_records.log_lines(log)) or "the log is empty")
        return
    from dgunet.kubeflow.submission import pod_logs
    from dgunet.kubeflow.submission.run_status import errors_text

    try:
        api = pod_logs.connect(context)
    except pod_logs.NoClusterError as error:
        typer.echo(f"{error} Error messages of the pipelines API:", err=True)
        typer.echo(errors_text(connection.server(), run_id, step))
        return
    namespace = connection.namespace or "kubeflow"
    lines = pod_logs.read_logs(api, namespace, run_id, step, timeout=connection.timeout)
    for line in lines:
        typer.echo(line)


@with_connection
def cancel(run_id: RunId, connection: Connection) -> None:
    """Cancel a run on a cluster or on this machine, and tell whether that one has ended.

    Example: dgunet pipeline cancel 0b1c2d3e-... --host https://kubeflow.example.org/pipeline
    """
    from dgunet.kubeflow import run_records
    from dgunet.project import ProjectFolders

    if run_records.is_local(run_id):
        typer.echo(run_records.cancel_run(ProjectFolders.here().home, run_id))
        return
    from dgunet.kubeflow.submission.run_status import cancel_run

    typer.echo(cancel_run(connection.server(), run_id))
