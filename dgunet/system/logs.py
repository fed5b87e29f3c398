"""Log messages of the package on standard error."""

from __future__ import annotations

import logging
import sys


class _StandardError(logging.Handler):
    """Prints ``dgunet: MESSAGE`` to the current ``sys.stderr``."""

    def emit(self, record: logging.LogRecord) -> None:
        print(f"dgunet: {self.format(record)}", file=sys.stderr, flush=True)


def log_to_stderr() -> None:
    """Print the package's messages from level INFO on; a second call changes nothing."""
    logger = logging.getLogger("dgunet")
    if not any(isinstance(handler, _StandardError) for handler in logger.handlers):
        logger.addHandler(_StandardError())
    logger.setLevel(logging.INFO)
    logger.propagate = False
