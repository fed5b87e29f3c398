"""Conversion of an exception to one line: the file and value that failed, and how to fix it."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress

from dgunet.system import environment
from dgunet.system.address import redact
from dgunet.system.errors import DgunetError, exhausts_memory
from dgunet.system.extras import missing_extra
from dgunet.system.terminal import printable

USERS = DgunetError.status
"""Exit status of a failure that the user or an administrator can fix."""

OURS = 70
"""Exit status of a bug of this program (EX_SOFTWARE of sysexits.h)."""

PIPE = 141
"""Exit status when the output has been closed by its reader, as in a shell after SIGPIPE."""


def failure_line(error: Exception) -> tuple[str, int]:
    """The line to print for ``error`` (empty: nothing) and the exit status.

    Addresses in the line are shown without user, password and query.
    """
    if isinstance(error, BrokenPipeError):
        with suppress(OSError):
            sys.stdout.close()  # otherwise the interpreter reports an error when it exits
        return "", PIPE
    if isinstance(error, DgunetError):
        return f"error: {_one_line(error)}", error.status
    if isinstance(error, OSError):
        return f"error: {_system_error(error)}", USERS
    if exhausts_memory(error):
        detail = f" ({_one_line(error)})" if str(error) else ""
        return (
            f"error: not enough memory{detail}. Use smaller settings, or a larger machine.",
            USERS,
        )
    if missing := missing_extra(error):
        return f"error: {missing}", USERS
    name = type(error).__name__
    return (
        f"error: {name}: {_one_line(error)}. This is a bug of dgunet: please report it with"
        " the output of `dgunet --debug ...` for the same command.",
        OURS,
    )


def debugging() -> bool:
    """Whether ``--debug`` or ``DGUNET_DEBUG`` asks for tracebacks."""
    return environment.DEBUG.get()


def redacted_traceback(error: BaseException) -> str:
    """The traceback of ``error``, without user, password and query in addresses."""
    return redact("".join(traceback.format_exception(error)))


def _system_error(error: OSError) -> str:
    """Line for an error of the operating system that was not translated where it occurred."""
    from dgunet.system import files

    known = files.explain(error)
    what, fix = known or (error.strerror or str(error) or type(error).__name__, "")
    names = [
        os.fsdecode(name)
        for name in (error.filename, error.filename2)
        if isinstance(name, str | bytes | os.PathLike)
    ]
    return _one_line(f"{' -> '.join(names)}{': ' if names else ''}{what}. {fix}".rstrip())


def _one_line(message: object) -> str:
    """A message on one line, without control characters, of at most 2,000 characters."""
    text = printable(" ".join(redact(str(message)).split()))
    return text if len(text) <= 2000 else f"{text[:1997]}..."
