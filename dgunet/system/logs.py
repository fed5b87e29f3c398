"""Log records of dgunet's modules as lines on standard error."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress


class StderrHandler(logging.Handler):
    """Writes ``dgunet: MESSAGE`` to the standard error of the moment, which tests may replace."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; a closed standard error does not stop the program."""
        with suppress(OSError, ValueError):
            print(f"dgunet: {record.getMessage()}", file=sys.stderr)


def log_to_stderr() -> None:
    """Show records of the logger ``dgunet`` from INFO on; further calls change nothing.

    Entry points call this. Records still propagate to the handlers of the root logger.
    """
    logger = logging.getLogger("dgunet")
    logger.setLevel(logging.INFO)
    if not any(isinstance(handler, StderrHandler) for handler in logger.handlers):
        logger.addHandler(StderrHandler())
