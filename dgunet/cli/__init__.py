"""The ``dgunet`` command: thin verbs over the library, heavy imports only inside the verbs."""

from __future__ import annotations

import io
import os
import sys
import warnings
from contextlib import suppress

import typer

from dgunet import __version__
from dgunet.cli.boundary import debugging, shown_traceback, told_failure
from dgunet.system.logs import log_to_stderr

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
    traceback comes first, and the libraries' warnings are shown.
    """
    _tame()
    log_to_stderr()
    try:
        command()()
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            _say("interrupted; nothing half-written was kept")
        raise
    except KeyboardInterrupt:  # before the command itself began
        _say("interrupted; nothing half-written was kept")
        sys.exit(INTERRUPTED)
    except Exception as error:
        line, status = told_failure(error)
        if debugging():
            with suppress(OSError):
                print(shown_traceback(error), end="", file=sys.stderr)
        if line:
            _say(line)
        sys.exit(status)


def _say(line: str) -> None:
    with suppress(OSError):  # nobody reads the errors; the exit status stays right
        print(f"dgunet: {line}", file=sys.stderr)


def _tame() -> None:
    """Let no name break a line of output, and no library's warning mix with ours."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names that are not UTF-8
    if not sys.warnoptions and not debugging() and "--debug" not in sys.argv[1:2]:
        warnings.simplefilter("ignore")
