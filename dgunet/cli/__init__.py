"""The ``dgunet`` command line: thin commands that import heavy modules only when they run."""

from __future__ import annotations

import io
import sys
import warnings
from contextlib import suppress

import typer

from dgunet import __version__
from dgunet.cli.boundary import debugging, failure_line, redacted_traceback
from dgunet.system import environment
from dgunet.system.logs import log_to_stderr

_HELP = """Reproduce the DGUNet paper: data, training, evaluation, ablations, tables.

`dgunet COMMAND --help` explains a command. Commands that read params.yaml or write to build/ use
the project of the working directory, or that of DGUNET_HOME. The exit status is 1 for an error in
the input or on the machine, 2 for invalid options and 70 for a bug.

Example: dgunet data list

Example: dgunet restore photo.jpg --task derain --out restored

Example: dgunet --debug evaluate --sets Rain100L
"""

INTERRUPTED = 130
"""Exit status after Ctrl-C, as in a shell."""


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


def command() -> typer.Typer:
    """The application with all its commands."""
    from dgunet.cli import register_all

    app = typer.Typer(
        name="dgunet",
        help=_HELP,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    register_all.register(app)
    return app


def main() -> None:
    """Run the command line; a failure prints one line and sets the exit status.

    The status is 1 for a problem of the user or the machine, 70 for a bug of dgunet and 130 after
    Ctrl-C. With ``--debug`` the traceback is printed first, and warnings of libraries are shown.
    """
    _prepare_output()
    log_to_stderr()
    try:
        command()(prog_name="dgunet")  # also as `python -m dgunet`
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            _print_to_stderr("interrupted; nothing half-written was kept")
        raise
    except KeyboardInterrupt:  # before the command itself has started
        _print_to_stderr("interrupted; nothing half-written was kept")
        sys.exit(INTERRUPTED)
    except Exception as error:
        line, status = failure_line(error)
        if debugging():
            with suppress(OSError):
                print(redacted_traceback(error), end="", file=sys.stderr)
        if line:
            _print_to_stderr(line)
        sys.exit(status)


def _print_to_stderr(line: str) -> None:
    with suppress(OSError):  # a closed stream must not change the exit status
        print(f"dgunet: {line}", file=sys.stderr)


def _prepare_output() -> None:
    """Escape what the output cannot encode, and hide warnings of libraries unless debugging."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names that are not UTF-8
    if not sys.warnoptions and not debugging() and "--debug" not in sys.argv[1:2]:
        warnings.simplefilter("ignore")
