"""Messages of the library on the screen of a command: one line each on standard error."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress


class _StderrHandler(logging.Handler):
    """Prints ``dgunet: MESSAGE`` to the ``sys.stderr`` of the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError, ValueError):  # standard error is closed
            print(f"dgunet: {record.getMessage()}", file=sys.stderr)


def log_to_stderr() -> None:
    """Show what the modules of ``dgunet`` log from level INFO on; a second call changes nothing."""
    logger = logging.getLogger("dgunet")
    if not any(isinstance(handler, _StderrHandler) for handler in logger.handlers):
        logger.addHandler(_StderrHandler())
    logger.setLevel(logging.INFO)
