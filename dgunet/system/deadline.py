"""A limit for a whole answer, however slowly its bytes drip in.

The time limits of network libraries hold for the next byte, not for the answer.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_LOOK_SECONDS = 0.2


def within(limit: float | Callable[[], float], work: Callable[[], T]) -> T:
    """The result of ``work``, or whatever it raises.

    It is done in a thread of its own. One that is late is left to itself: nobody can stop it, and
    it does not hold up the end of the process.

    Args:
        limit: seconds, or a function that gives them and may give fewer as time goes on.
        work: what to do; takes nothing.

    Raises:
        TimeoutError: if ``work`` is not done in time.
    """
    results: list[T] = []
    failures: list[BaseException] = []
    done = threading.Event()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            results.append(context.run(work))
        except BaseException as error:  # it is the caller's
            failures.append(error)
        finally:
            done.set()

    started = time.monotonic()
    threading.Thread(target=run, daemon=True, name="within").start()
    seconds = limit if callable(limit) else lambda: limit
    while not done.wait(min(_LOOK_SECONDS, max(0.0, started + seconds() - time.monotonic()))):
        if time.monotonic() - started >= seconds():
            raise TimeoutError(f"no whole answer within {seconds():g} s")
    if failures:
        raise failures[0]
    return results[0]
