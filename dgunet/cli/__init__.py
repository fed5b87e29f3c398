"""The ``dgunet`` command: thin verbs over the library, heavy imports only inside the verbs."""

from __future__ import annotations

import os
import sys

import typer

from dgunet import __version__
from dgunet.errors import DgunetError

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
) -> None:
    pass


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
    """Run the command line: user errors are one line and exit status 1, Ctrl-C is 130."""
    debug = bool(os.environ.get("DGUNET_DEBUG"))
    try:
        command()()
    except DgunetError as error:
        if debug:
            raise
        print(f"dgunet: error: {error}", file=sys.stderr)
        sys.exit(1)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            print("dgunet: interrupted; nothing half-written was kept", file=sys.stderr)
        raise
