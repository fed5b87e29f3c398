"""The end of a run: normal, by an error, or by a signal."""

from __future__ import annotations

import signal
from contextlib import AbstractContextManager

from dgunet.system.termination import sigterm_raises
from dgunet.tracking.server.mlflow_store import one_line


class Terminated(SystemExit):
    """The process received SIGTERM."""


def terminable() -> AbstractContextManager[None]:
    """Within the block, turn SIGTERM into `Terminated`, unless another handler is installed."""
    return sigterm_raises(lambda: Terminated(128 + signal.SIGTERM))


def end_status(error: BaseException) -> tuple[str, str | None]:
    """MLflow's status of a run that ``error`` ended, and the reason in one line."""
    if isinstance(error, Terminated):
        return "KILLED", "terminated (SIGTERM)"
    if isinstance(error, KeyboardInterrupt):
        return "KILLED", "interrupted (Ctrl-C)"
    if isinstance(error, SystemExit) and error.code in (None, 0):
        return "FINISHED", None
    return "FAILED", one_line(error)
