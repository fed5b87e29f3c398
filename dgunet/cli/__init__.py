"""The ``dgunet`` command line: thin commands that import heavy modules only when they run.

This module imports nothing heavy itself, so that a command that a warm process runs starts at once.
"""

from __future__ import annotations

import io
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

INTERRUPTED = 130
"""Exit status after Ctrl-C, as in a shell."""


def command(word: str = "") -> typer.Typer:
    """The application with all its commands; with ``word``, that of this name and maybe others."""
    from dgunet.cli.application import application

    return application(word)


def main() -> None:
    """Run the command line; a failure prints one line and sets the exit status.

    The status is 1 for a problem of the user or the machine, 70 for a bug of dgunet and 130 after
    Ctrl-C. With ``--debug`` the traceback is printed first, and warnings of libraries are shown.
    In a process that ``DGUNET_WARM`` names, the command starts without importing libraries. It ends
    with the process that ``DGUNET_PARENT`` names.
    """
    from dgunet.cli import warm_client
    from dgunet.system import environment

    if environment.PARENT.get():
        from dgunet.system.parent_process import end_with_named_parent

        end_with_named_parent()
    warm_client.run_in_warm_process()
    run_here()


def run_here() -> None:
    """Run the command line in this process, as `main` does."""
    from dgunet.cli.boundary import debugging, failure_line, redacted_traceback
    from dgunet.system.logs import log_to_stderr

    _prepare_output()
    log_to_stderr()
    try:
        command(*sys.argv[1:2])(prog_name="dgunet")  # also as `python -m dgunet`
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
    import warnings

    from dgunet.cli.boundary import debugging

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names that are not UTF-8
    if not sys.warnoptions and not debugging() and "--debug" not in sys.argv[1:2]:
        warnings.simplefilter("ignore")
