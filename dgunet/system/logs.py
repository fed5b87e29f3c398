"""Output of log messages on the standard error stream.

Modules log to ``logging.getLogger(__name__)``. An entry point that shows these messages calls
`log_to_stderr` when it starts. Only entry points print.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress

PACKAGE = "dgunet"


class _StderrHandler(logging.Handler):
    """Writes each message as one line to the current `sys.stderr`."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write ``dgunet: MESSAGE``; a closed stream is ignored."""
        with suppress(OSError, ValueError):
            print(f"{PACKAGE}: {record.getMessage()}", file=sys.stderr, flush=True)


def log_to_stderr() -> None:
    """Show the package's messages from level INFO on standard error; a second call does nothing."""
    logger = logging.getLogger(PACKAGE)
    if not any(isinstance(handler, _StderrHandler) for handler in logger.handlers):
        logger.addHandler(_StderrHandler())
    logger.setLevel(logging.INFO)
