"""The end of a run: normal, by an error, or by a signal."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from dgunet.tracking.server.mlflow_store import one_line


class Terminated(SystemExit):
    """The process received SIGTERM."""


@contextmanager
def terminable() -> Iterator[None]:
    """Within the block, turn SIGTERM into `Terminated`, unless another handler is installed."""
    free = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    )
    if not free:
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise Terminated(128 + number)

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def end_status(error: BaseException) -> tuple[str, str | None]:
    """MLflow's status of a run that ``error`` ended, and the reason in one line."""
    if isinstance(error, Terminated):
        return "KILLED", "terminated (SIGTERM)"
    if isinstance(error, KeyboardInterrupt):
        return "KILLED", "interrupted (Ctrl-C)"
    if isinstance(error, SystemExit) and error.code in (None, 0):
        return "FINISHED", None
    return "FAILED", one_line(error)
