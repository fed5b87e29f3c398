"""Verbs of the tracking room: what MLflow has, what it does not have yet, and sending it."""

from __future__ import annotations

import signal
import socket
import threading
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dgunet.tracking import Delivery, Layout

tracking = typer.Typer(
    name="tracking",
    help="MLflow: make the store, send what was kept, end what died, open the UI.",
    no_args_is_help=True,
)


def register(app: typer.Typer) -> None:
    """Add this module's verbs to ``app``."""
    app.add_typer(tracking)


@tracking.command()
def init() -> None:
    """Make the project's MLflow store, once, before anything writes to it.

    Example: dgunet tracking init
    """
    from dgunet.tracking import ensure_store

    typer.echo(f"MLflow store: {ensure_store()}")


@tracking.command()
def sync(
    follow: Annotated[
        bool,
        typer.Option("--follow", help="Go on sending while stages run; Ctrl-C or SIGTERM ends it."),
    ] = False,
) -> None:
    """Send every run that was kept; exit status 1 if some must wait or were set aside.

    Runs whose process died are ended as KILLED. Nothing is sent twice. A damaged journal is named
    and moved to .dgunet/damaged, and holds up no other.

    With --follow the stages of a chain need not start MLflow's client each for itself: run
    `DGUNET_TRACKING=later dvc repro` beside it, as `make reproduce` does.

    Example: MLFLOW_TRACKING_URI=http://127.0.0.1:5000 dgunet tracking sync
    """
    from dgunet.tracking import Layout, deliver, pending

    layout = Layout.at()
    outcome = _follow(layout) if follow else deliver(layout, persist=True)
    left = pending(layout)
    typer.echo(f"sent {_runs(len(outcome.sent))} to {layout.uri}; {len(left)} left")
    if outcome.refused:
        typer.echo(
            f"MLflow refused entries of {_runs(len(outcome.refused))}; see {layout.refused}",
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


def _follow(layout: Layout) -> Delivery:
    """Follow until a signal; what is being sent at that moment is sent to its end."""
    from dgunet.tracking import follow

    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    return follow(layout, stop)


@tracking.command()
def status() -> None:
    """Say where runs go, how many MLflow has and which wait.

    Example: dgunet tracking status
    """
    from dgunet.tracking import Layout, delivered, pending
    from dgunet.tracking.index import damaged_lines
    from dgunet.tracking.journal.damage import aside_in
    from dgunet.tracking.server.mlflow_store import BackOff

    layout = Layout.at()
    waiting = pending(layout)
    typer.echo(f"MLflow store: {layout.uri}")
    typer.echo(f"delivered:    {len(delivered(layout))}")
    typer.echo(f"waiting:      {len(waiting)}")
    for info in waiting:
        typer.echo(f"  {info.status:8} {info.name}  ({info.journal})")
    if layout.refused.is_dir() and (refused := list(layout.refused.iterdir())):
        typer.echo(f"with refused entries: {len(refused)}, see {layout.refused}")
    if aside := aside_in(layout):
        typer.echo(f"damaged:      {len(aside)}, see {layout.damaged}")
    if torn := damaged_lines(layout):
        typer.echo(
            f"damaged lines in {layout.index}: {len(torn)}; dgunet tracking doctor names them"
        )
    if reason := BackOff(layout).reason():
        typer.echo(f"left alone for a while, because: {reason}")


@tracking.command()
def ui(port: int = typer.Option(5000, min=1, max=65_535, help="Port on 127.0.0.1.")) -> None:
    """Open MLflow's user interface on the project's store; Ctrl-C ends it.

    Example: dgunet tracking ui --port 5001
    """
    import os
    import sys

    from dgunet.system.errors import ConfigError
    from dgunet.tracking import Layout, ensure_store

    layout = Layout.at()
    uri = ensure_store(layout)
    if uri.scheme in ("http", "https"):
        typer.echo(f"MLFLOW_TRACKING_URI names a server; its user interface is at {uri}")
        return
    if _taken(port):
        raise ConfigError(
            f"something answers on port {port} already.",
            f"Maybe this interface itself; else: dgunet tracking ui --port {port + 1}",
        )
    typer.echo(f"MLflow user interface: http://127.0.0.1:{port} (Ctrl-C ends it)")
    settings = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        # the job runner starts seven processes that nothing here needs
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        # not an option: `ps` shows those to everybody, and the address may hold a password
        "MLFLOW_BACKEND_STORE_URI": uri.reveal(),
    }
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    command += ["--default-artifact-root", layout.artifacts.as_uri()]
    os.execve(sys.executable, command, os.environ | settings)


@tracking.command()
def doctor(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what is wrong; change nothing.")
    ] = False,
    silent_hours: Annotated[
        float,
        typer.Option(
            min=0,
            max=1e6,
            help="A run on another machine is taken as dead after so long a silence.",
        ),
    ] = 24,
) -> None:
    """Find runs that nobody will end any more, and end them as KILLED.

    Also finds models whose weights never arrived and entries that MLflow refused. A run on this
    machine is ended only if its process is gone. Exit status 1 if something is left to you.

    Example: dgunet tracking doctor --dry-run
    """
    from dgunet.tracking import Layout
    from dgunet.tracking.doctor import examine, repair

    layout = Layout.at()
    told = examine(layout, silent_hours=silent_hours)
    left = told.findings if dry_run else repair(layout, told)
    for finding in told.findings:
        done = "found" if dry_run else "left to you" if finding in left else "closed"
        typer.echo(f"{done}: {finding.what}: {finding.why}")
    if told.away:
        typer.echo(f"MLflow at {layout.uri} could not be asked: {told.away}", err=True)
    if not told.findings and not told.away:
        typer.echo("every run has its end")
    if left or told.away:
        raise typer.Exit(1)


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _runs(count: int) -> str:
    return f"{count} run" if count == 1 else f"{count} runs"
