"""SIGTERM as an exception, so that a block ends as after an error."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def sigterm_raises(error: Callable[[], BaseException]) -> Iterator[None]:
    """Within the block, SIGTERM raises ``error()``, unless another handler is installed.

    Only the main thread receives signals; in another one nothing changes.
    """
    free = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    )
    if not free:
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise error()

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
