"""The ``dgunet`` command: thin verbs over the library, heavy imports only inside the verbs."""

from __future__ import annotations

import os
import sys
import traceback

import typer

from dgunet import __version__
from dgunet.address import redact
from dgunet.cli.boundary import told_failure

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells give it."""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dgunet {__version__}")
        raise typer.Exit


def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
    debug: bool = typer.Option(
        False,
        "--debug",
        help="Show the traceback of a failure, as DGUNET_DEBUG=1 does.",
    ),
) -> None:
    if debug:
        os.environ["DGUNET_DEBUG"] = "1"


def command() -> typer.Typer:
    """The command with all its verbs."""
    from dgunet.cli import register_all

    app = typer.Typer(
        name="dgunet",
        help="Reproduce the DGUNet paper: data, training, evaluation, ablations, tables.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    register_all.register(app)
    return app


def main() -> None:
    """Run the command line: a failure is one line, and its exit status says whose it is.

    1: the user's or the machine's, 70: a fault of dgunet, 130: Ctrl-C. With ``--debug`` the
    traceback follows.
    """
    try:
        command()()
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            print("dgunet: interrupted; nothing half-written was kept", file=sys.stderr)
        raise
    except Exception as error:
        line, status = told_failure(error)
        if os.environ.get("DGUNET_DEBUG"):
            print(redact(traceback.format_exc()), file=sys.stderr)
        if line:
            print(f"dgunet: {line}", file=sys.stderr)
        sys.exit(status)
