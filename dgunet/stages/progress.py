"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from dgunet.training import StepReport

LINE_SECONDS = 10.0
"""Without a terminal, at most one line in this time, and one at the end."""


@contextmanager
def progress(title: str, steps: int) -> Iterator[Callable[[StepReport], None]]:
    """Yield a function that is called after every step."""
    if sys.stderr.isatty():
        with tqdm(total=steps, desc=title, unit="step") as bar:

            def advance(report: StepReport) -> None:
                bar.set_postfix(loss=f"{report.loss:.5f}", refresh=False)
                bar.update()

            yield advance
        return
    started = time.monotonic()
    due = started + LINE_SECONDS

    def line(report: StepReport) -> None:
        nonlocal due
        now = time.monotonic()
        done = report.step + 1
        if now >= due or done == steps:
            due = now + LINE_SECONDS
            print(
                f"{title}: step {done}/{steps}, loss {report.loss:.5f}, "
                f"{done / (now - started):.1f} steps/s",
                file=sys.stderr,
            )

    yield line
