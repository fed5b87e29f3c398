"""Being told to stop: finish the step, keep everything, leave."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

RESUME = 75
"""Exit status after SIGTERM with a checkpoint kept: run the same command again to go on.

The number is EX_TEMPFAIL of sysexits.h, so schedulers that know it try again by themselves."""


class InterruptedTrainingError(Exception):
    """Training stopped between two steps because a signal asked for it; nothing is lost.

    Args:
        number: of the signal.
        step: the first step that was not made.
    """

    def __init__(self, number: int, step: int) -> None:
        self.number = number
        self.step = step
        super().__init__(f"stopped before step {step} by {signal.Signals(number).name}")


class Stop:
    """The signal that asked to stop; 0 for none."""

    number = 0


@contextmanager
def stopping() -> Iterator[Stop]:
    """Note SIGTERM and Ctrl-C within the block instead of dying of them.

    Only the first is noted: from then on the handlers before the block act again, so a second
    Ctrl-C ends the program at once. Outside the main thread nothing is caught.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}

    def note(number: int, frame: FrameType | None) -> None:
        stop.number = number
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in numbers:
        signal.signal(number, note)
    try:
        yield stop
    finally:
        restore()
