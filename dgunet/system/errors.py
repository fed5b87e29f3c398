"""Errors that a user can fix. Messages name the file or key and the value, hints how to fix it."""

from __future__ import annotations

import errno
import re

from dgunet.system.address import redact


class DgunetError(Exception):
    """An error that the user can fix.

    The command line prints it as one line without a traceback and exits with a non-zero status.
    User, password and query of addresses are removed from both texts.

    Args:
        message: what is wrong, including the file or key and the value.
        hint: how to fix it, as one sentence.

    Attributes:
        status: exit status of a command that ends with this error.
    """

    status = 1

    def __init__(self, message: str, hint: str = "") -> None:
        self.message = redact(message)
        self.hint = redact(hint)
        super().__init__(f"{self.message} {self.hint}".rstrip())


class ConfigError(DgunetError):
    """A parameter is missing, unknown or out of range."""


class DataError(DgunetError):
    """A dataset is missing, incomplete, damaged, or does not match its name."""


class CheckpointError(DgunetError):
    """A checkpoint is unreadable, or does not fit the network."""


class EvaluationError(DgunetError):
    """An image or a result cannot be scored with the requested protocol."""


_EXHAUSTED = re.compile(
    r"can't allocate memory|cannot allocate memory|not enough memory|out of memory"
    r"|insufficient memory|bad_alloc|bad allocation|could not create a (primitive|memory)"
    # Python's message when an extension fails to report an allocation error.
    r"|returned NULL without setting an exception",
    re.IGNORECASE,
)


def exhausts_memory(error: BaseException) -> bool:
    """Return whether ``error`` reports that no memory is left.

    Python and NumPy raise a ``MemoryError``; torch and OpenCV raise general errors, which are
    recognised by their messages.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, Exception) and _EXHAUSTED.search(str(error)) is not None
