"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

LINE_SECONDS = 10.0
"""Without a terminal, at most one line in this time, and one at the end of long work."""

Tell = Callable[[int, int, str], None]
"""How many are done, of how many, and a remark."""


@contextmanager
def counting(title: str, unit: str) -> Iterator[Tell]:
    """Yield a function to call after every ``unit`` of the work."""
    with _bar(title, unit) if sys.stderr.isatty() else _lines(title, unit) as tell:
        yield tell


@contextmanager
def _bar(title: str, unit: str) -> Iterator[Tell]:
    with tqdm(desc=title, unit=unit) as bar:

        def tell(done: int, total: int, remark: str = "") -> None:
            bar.total = total
            bar.set_postfix_str(remark, refresh=False)
            bar.update(done - bar.n)

        yield tell


@contextmanager
def _lines(title: str, unit: str) -> Iterator[Tell]:
    started = time.monotonic()
    due = started + LINE_SECONDS
    first = None

    def tell(done: int, total: int, remark: str = "") -> None:
        nonlocal due, first
        first = done - 1 if first is None else first
        now = time.monotonic()
        if now >= due or (done == total and due > started + LINE_SECONDS):
            due = now + LINE_SECONDS
            rate = (done - first) / (now - started)
            left = (total - done) / rate
            said = f", {remark}" if remark else ""
            print(
                f"{title}: {unit} {done}/{total}{said}, {rate:.1f} {unit}s/s, {left:.0f} s left",
                file=sys.stderr,
            )

    yield tell
