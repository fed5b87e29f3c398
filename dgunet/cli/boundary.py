"""Where exceptions become one line: what failed, with which file and value, and how to fix it."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress

from dgunet.system import files
from dgunet.system.address import redact
from dgunet.system.errors import DgunetError, exhausts_memory

USERS = 1
"""Exit status of a failure that the user or the machine's owner can fix."""

OURS = 70
"""Exit status of a fault of this program (EX_SOFTWARE of sysexits.h)."""

PIPE = 141
"""Exit status when the reader of the output went away, as a shell gives it for SIGPIPE."""


def told_failure(error: Exception) -> tuple[str, int]:
    """The line to print for ``error`` (empty: nothing) and the exit status.

    Addresses in it are shown without user, password and query.
    """
    if isinstance(error, BrokenPipeError):
        with suppress(OSError):
            sys.stdout.close()  # or the interpreter complains at its end
        return "", PIPE
    if isinstance(error, DgunetError):
        return f"error: {_one_line(error)}", USERS
    if isinstance(error, OSError):
        return f"error: {_system(error)}", USERS
    if exhausts_memory(error):
        what = f" ({_one_line(error)})" if str(error) else ""
        return f"error: not enough memory{what}. Use smaller settings, or a larger machine.", USERS
    name = type(error).__name__
    return (
        f"error: {name}: {_one_line(error)}. This is a fault of dgunet: please report it with what"
        " `dgunet --debug ...` prints for the same command.",
        OURS,
    )


def debugging() -> bool:
    """Whether ``--debug`` or ``DGUNET_DEBUG`` asks for tracebacks."""
    return os.environ.get("DGUNET_DEBUG", "").lower() not in ("", "0", "false", "no", "off")


def shown_traceback(error: BaseException) -> str:
    """The traceback of ``error``, the addresses in it without user, password and query."""
    return redact("".join(traceback.format_exception(error)))


def _system(error: OSError) -> str:
    """An error of the operating system that no function expected."""
    known = files.explain(error)
    what, fix = known or (error.strerror or str(error) or type(error).__name__, "")
    names = [
        os.fsdecode(name)
        for name in (error.filename, error.filename2)
        if isinstance(name, str | bytes | os.PathLike)
    ]
    return _one_line(f"{' -> '.join(names)}{': ' if names else ''}{what}. {fix}".rstrip())


def _one_line(said: object) -> str:
    """A message on one line, without what a terminal would act on, at most 2,000 characters."""
    text = " ".join(redact(str(said)).split())
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text if len(text) <= 2000 else f"{text[:1997]}..."
