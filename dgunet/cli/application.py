"""The application: the options of ``dgunet`` itself, and all commands below it."""

from __future__ import annotations

import typer

from dgunet import __version__
from dgunet.cli import register_all
from dgunet.system import environment

_HELP = """Reproduce the DGUNet paper: data, training, evaluation, ablations, tables.

`dgunet COMMAND --help` explains a command. Commands that read params.yaml or write to build/ use
the project of the working directory, or that of DGUNET_HOME. The exit status is 1 for an error in
the input or on the machine, 2 for invalid options and 70 for a bug.

Example: dgunet data list

Example: dgunet restore photo.jpg --task derain --out restored

Example: dgunet --debug evaluate --sets Rain100L
"""


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
        help="Show the traceback of an error, as DGUNET_DEBUG=1 does.",
    ),
) -> None:
    if debug:
        environment.DEBUG.set("1")  # also for child processes


def application(word: str = "") -> typer.Typer:
    """The application with all its commands.

    Args:
        word: the first word of the command line; if it is a command, others may be left out.
    """
    app = typer.Typer(
        name="dgunet",
        help=_HELP,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    register_all.register(app, word)
    return app
