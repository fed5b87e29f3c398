"""Stopping after a signal: finish the current step, write a checkpoint, exit."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

RESUME = 75
"""Exit status after SIGTERM once a checkpoint is written; the same command resumes the run.

The number is EX_TEMPFAIL of sysexits.h; some schedulers retry automatically on it."""

LOST = 76
"""Exit status of a process that lost the other processes of its training: a consequence of their
end, whose own status has the cause. The same command resumes from the newest checkpoint.

The number is EX_PROTOCOL of sysexits.h."""


class InterruptedTrainingError(Exception):
    """Training stopped between two steps after a signal; its checkpoint is on disk.

    Args:
        number: number of the signal.
        step: index of the next optimiser step.
    """

    def __init__(self, number: int, step: int) -> None:
        self.number = number
        self.step = step
        super().__init__(f"stopped before step {step} by {signal.Signals(number).name}")


class StopRequest:
    """Holds the number of the signal that requested the stop; 0 for none."""

    number = 0


@contextmanager
def intercepted_signals() -> Iterator[StopRequest]:
    """Record SIGTERM and Ctrl-C within the block instead of ending the process.

    Only the first signal is recorded. The previous handlers are then restored, so a second Ctrl-C
    ends the program immediately. Outside the main thread, signals are not intercepted.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}

    def record(number: int, frame: FrameType | None) -> None:
        request.number = number
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in numbers:
        signal.signal(number, record)
    try:
        yield request
    finally:
        restore()
