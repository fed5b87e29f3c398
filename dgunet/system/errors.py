"""Errors a user can fix: each names the file or key, the value, and what to do."""

from __future__ import annotations

import errno
import re

from dgunet.system.address import redact


class DgunetError(Exception):
    """A failure the user can act on.

    The command line prints it as one line and exits with a non-zero status; no traceback.
    Addresses in it are kept without user, password and query.

    Args:
        message: what is wrong, naming the file or key and the value.
        hint: what to do about it, as one sentence.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        self.message = redact(message)
        self.hint = redact(hint)
        super().__init__(f"{self.message} {self.hint}".rstrip())


class ConfigError(DgunetError):
    """A parameter is missing, unknown or out of range."""


class DataError(DgunetError):
    """A data set is missing, incomplete, corrupt or not what its name says."""


class CheckpointError(DgunetError):
    """A checkpoint is unreadable or does not fit the network."""


class EvaluationError(DgunetError):
    """An image or a result cannot be scored under the protocol asked for."""


_EXHAUSTED = re.compile(
    r"can't allocate memory|cannot allocate memory|not enough memory|out of memory"
    r"|insufficient memory|bad_alloc|bad allocation|could not create a (primitive|memory)"
    # What the interpreter says when an extension lost the error of an allocation.
    r"|returned NULL without setting an exception",
    re.IGNORECASE,
)


def exhausts_memory(error: BaseException) -> bool:
    """Whether ``error`` says that there is no memory left, in the words of whichever library.

    torch and OpenCV raise plain errors with a text, Python and numpy a ``MemoryError``.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, Exception) and _EXHAUSTED.search(str(error)) is not None
