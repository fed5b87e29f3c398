"""``dgunet tracking``: the MLflow store, delivery of waiting runs, and repair."""

from __future__ import annotations

import signal
import socket
import threading
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dgunet.tracking import Delivery, TrackingFolders

tracking = typer.Typer(
    name="tracking",
    help="MLflow: create the store, send waiting runs, close dead runs, open the UI.\n\n"
    "Example: dgunet tracking status",
    no_args_is_help=True,
)


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    app.add_typer(tracking)


@tracking.command()
def init() -> None:
    """Create the project's MLflow store before several processes write to it.

    The store is that of MLFLOW_TRACKING_URI, or the file mlflow.db of the project. Experiments of
    earlier versions get their note and the saved views of their tables; new ones have them.

    Example: dgunet tracking init
    """
    from dgunet.tracking import TrackingError, TrackingFolders, ensure_store
    from dgunet.tracking.experiment_pages import describe_all

    folders = TrackingFolders.at()
    is_new = folders.uri == folders.own_uri and not (folders.home / "mlflow.db").exists()
    typer.echo(f"MLflow store: {ensure_store(folders)}")
    if is_new:
        return
    try:
        if done := describe_all(folders):
            typer.echo(f"notes and saved views of {done} experiments are up to date")
    except TrackingError as error:  # the deliveries write them as well
        typer.echo(f"notes and saved views were not written: {error}", err=True)


@tracking.command()
def sync(
    follow: Annotated[
        bool,
        typer.Option("--follow", help="keep sending while steps run, until Ctrl-C or SIGTERM"),
    ] = False,
) -> None:
    """Send all waiting runs to MLflow; exit status 1 if some still wait or were set aside.

    Runs whose process died are ended as KILLED. Nothing is sent twice. A damaged journal is
    reported and moved to .dgunet/damaged; all others are still sent.

    With --follow one process sends the runs of all pipeline steps, so that each step need not
    start MLflow's client: run `DGUNET_TRACKING=later dvc repro` at the same time, as
    `make reproduce` does.

    Example: dgunet tracking sync

    Example: MLFLOW_TRACKING_URI=http://127.0.0.1:5000 dgunet tracking sync
    """
    from dgunet.tracking import TrackingFolders, deliver, pending

    folders = TrackingFolders.at()
    outcome = _follow(folders) if follow else deliver(folders, persist=True)
    left = pending(folders)
    typer.echo(f"sent {_runs(len(outcome.sent))} to {folders.uri}; {len(left)} left")
    if outcome.refused:
        typer.echo(
            f"MLflow rejected entries of {_runs(len(outcome.refused))}; see {folders.refused}",
            err=True,
        )
    for line in outcome.notes:
        typer.echo(line, err=True)
    for line in outcome.aside:
        typer.echo(f"set aside: {line}", err=True)
    if outcome.waits:
        typer.echo(f"not everything could be sent: {outcome.waits}", err=True)
    if outcome.reason:
        raise typer.Exit(1)


def _follow(folders: TrackingFolders) -> Delivery:
    """Follow until a signal; a delivery in progress is completed first."""
    from dgunet.tracking import follow

    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    return follow(folders, stop)


@tracking.command()
def status() -> None:
    """Show the MLflow store, the number of delivered runs, and the waiting ones.

    Example: dgunet tracking status
    """
    from dgunet.tracking import TrackingFolders, delivered, pending
    from dgunet.tracking.index import damaged_lines
    from dgunet.tracking.journal.damage import set_aside_journals
    from dgunet.tracking.server.mlflow_store import BackOff

    folders = TrackingFolders.at()
    waiting = pending(folders)
    typer.echo(f"MLflow store: {folders.uri}")
    typer.echo(f"delivered:    {len(delivered(folders))}")
    typer.echo(f"waiting:      {len(waiting)}")
    for info in waiting:
        typer.echo(f"  {info.status:8} {info.name}  ({info.journal})")
    if folders.refused.is_dir() and (refused := list(folders.refused.iterdir())):
        typer.echo(f"with rejected entries: {len(refused)}, see {folders.refused}")
    if aside := set_aside_journals(folders):
        typer.echo(f"damaged:      {len(aside)}, see {folders.damaged}")
    if torn := damaged_lines(folders):
        typer.echo(
            f"damaged lines in {folders.index}: {len(torn)}; dgunet tracking doctor lists them"
        )
    if reason := BackOff(folders).reason():
        typer.echo(f"not contacted for a while, because: {reason}")


@tracking.command()
def ui(
    port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65_535,
            help="port on 127.0.0.1",
            show_default="the one used last in this project, at first 5000",
        ),
    ] = None,
) -> None:
    """Serve MLflow's user interface for the project's store until Ctrl-C.

    The links that other commands print lead to the port that was used last.

    Example: dgunet tracking ui --port 5001
    """
    import os
    import sys

    from dgunet.system import environment
    from dgunet.system.errors import ConfigError
    from dgunet.tracking import TrackingFolders, ensure_store
    from dgunet.tracking.ui_links import experiments_url
    from dgunet.tracking.ui_port import remember_ui_port, ui_port

    folders = TrackingFolders.at()
    uri = ensure_store(folders)
    if uri.scheme in ("http", "https"):
        address = experiments_url(folders)
        typer.echo(f"MLFLOW_TRACKING_URI names a server; its user interface is at {address}")
        return
    port = port or ui_port(folders)
    if _taken(port):
        raise ConfigError(
            f"port {port} is already in use.",
            f"Another user interface may be running; else: dgunet tracking ui --port {port + 1}",
        )
    remember_ui_port(folders, port)
    typer.echo(f"MLflow user interface: {experiments_url(folders)} (stop with Ctrl-C)")
    settings = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        # the job runner starts seven processes that are not needed here
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        # not an option: `ps` shows options to every user, and the address may contain a password
        "MLFLOW_BACKEND_STORE_URI": uri.reveal(),
    }
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    command += ["--default-artifact-root", folders.artifacts.as_uri()]
    os.execve(sys.executable, command, environment.for_child(settings))


@tracking.command()
def doctor(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only report, change nothing")] = False,
    silent_hours: Annotated[
        float,
        typer.Option(
            min=0,
            max=1e6,
            help="hours without metrics after which a run on another machine counts as dead",
        ),
    ] = 24,
) -> None:
    """Find runs whose process is gone, and end them as KILLED.

    Also finds models without weights and entries that MLflow rejected. A run on this
    machine is ended only if its process is gone. Exit status 1 if something needs your attention.

    Example: dgunet tracking doctor --dry-run
    """
    from dgunet.tracking import TrackingFolders
    from dgunet.tracking.doctor import examine, repair

    folders = TrackingFolders.at()
    diagnosis = examine(folders, silent_hours=silent_hours)
    left = diagnosis.problems if dry_run else repair(folders, diagnosis)
    for problem in diagnosis.problems:
        done = "found" if dry_run else "needs attention" if problem in left else "closed"
        typer.echo(f"{done}: {problem.what}: {problem.why}")
    if diagnosis.away:
        typer.echo(f"MLflow at {folders.uri} is not available: {diagnosis.away}", err=True)
    if not diagnosis.problems and not diagnosis.away:
        typer.echo("all runs are complete")
    if left or diagnosis.away:
        raise typer.Exit(1)


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _runs(count: int) -> str:
    return f"{count} run" if count == 1 else f"{count} runs"
