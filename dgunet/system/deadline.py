"""Time limit for a complete response, however slowly its bytes arrive.

The timeouts of network libraries apply to the next byte and not to the whole response.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_POLL_SECONDS = 0.2


def within(limit: float | Callable[[], float], work: Callable[[], T]) -> T:
    """Run ``work`` in its own thread and return its result.

    A thread that exceeds the limit cannot be stopped; it continues as a daemon thread, which does
    not delay the end of the process.

    Args:
        limit: seconds, or a function that returns them; its value may decrease during the work.
        work: a function without arguments.

    Raises:
        TimeoutError: if ``work`` does not finish in time.
        BaseException: any exception that ``work`` raises.
    """
    results: list[T] = []
    failures: list[BaseException] = []
    done = threading.Event()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            results.append(context.run(work))
        except BaseException as error:  # raised again in the caller's thread
            failures.append(error)
        finally:
            done.set()

    started = time.monotonic()
    threading.Thread(target=run, daemon=True, name="within").start()
    seconds = limit if callable(limit) else lambda: limit
    while not done.wait(min(_POLL_SECONDS, max(0.0, started + seconds() - time.monotonic()))):
        if time.monotonic() - started >= seconds():
            raise TimeoutError(f"no complete answer within {seconds():g} s")
    if failures:
        raise failures[0]
    return results[0]
