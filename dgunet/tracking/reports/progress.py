"""Progress of long work: a bar on a terminal, JSON lines elsewhere."""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from tqdm import tqdm

from dgunet.data.store import verification

LINE_SECONDS = 10.0
"""Minimum seconds between two lines without a terminal; long work has one more line at its end."""

QUIET_SECONDS = 120.0
"""Seconds without a line after which one says that the work continues."""


class ReportProgress(Protocol):
    """A function that is called after every unit of the work."""

    def __call__(
        self, done: int, total: int, remark: str = "", facts: Mapping[str, float] | None = None
    ) -> None:
        """Show the units done, their total, a remark, and further numbers by name."""


@contextmanager
def counting(title: str, unit: str, *, silent: bool = False) -> Iterator[ReportProgress]:
    """Yield a function that is called after every ``unit`` of the work.

    Args:
        title: what is done, with its dataset or network.
        unit: name of the unit, in the singular.
        silent: show nothing, for a process that shares the work with one that shows it.
    """
    if silent:
        yield _nothing
        return
    with _bar(title, unit) if sys.stderr.isatty() else _lines(title, unit) as report:
        yield report


@contextmanager
def counting_bytes(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """Yield a function that is called with (bytes received, total bytes or None)."""
    with counting(title, "B") as report:
        # An unknown total is never reached, else every report would count as the last.
        yield lambda received, total: report(received, total or received + 1)


def show_verification() -> None:
    """Show the progress of verifying prepared stores like that of other work."""
    verification.progress = lambda title: counting(title, "MB")


@contextmanager
def _bar(title: str, unit: str) -> Iterator[ReportProgress]:
    with tqdm(desc=title, unit=unit) as bar:

        def report(
            done: int, total: int, remark: str = "", facts: Mapping[str, float] | None = None
        ) -> None:
            bar.total = total
            texts = [remark] * bool(remark) + [f"{k} {v:.5g}" for k, v in (facts or {}).items()]
            bar.set_postfix_str(", ".join(texts), refresh=False)
            bar.update(done - bar.n)

        yield report


def _nothing(
    done: int, total: int, remark: str = "", facts: Mapping[str, float] | None = None
) -> None:
    """Show nothing."""


@contextmanager
def _lines(title: str, unit: str) -> Iterator[ReportProgress]:
    """Print JSON objects: the work, units done, their total, numbers, rate and seconds left."""
    lines = _Lines(title, unit)
    watch = threading.Thread(target=lines.watch, daemon=True, name="progress")
    watch.start()
    try:
        yield lines.report
    finally:
        lines.ended.set()


class _Lines:
    """Prints a line when one is due, and after `QUIET_SECONDS` without one."""

    def __init__(self, title: str, unit: str) -> None:
        self._title, self._unit = title, unit
        self._started = self._printed = time.monotonic()
        self._due = self._started + LINE_SECONDS
        self._first: int | None = None
        self._counts: dict[str, Any] = {}
        self.ended = threading.Event()

    def report(
        self, done: int, total: int, remark: str = "", facts: Mapping[str, float] | None = None
    ) -> None:
        """Print a line if one is due; see `ReportProgress`."""
        first = self._first = done - 1 if self._first is None else self._first
        now = time.monotonic()
        self._counts = {self._unit: done, "of": total} | ({"remark": remark} if remark else {})
        if now >= self._due or (done == total and self._due > self._started + LINE_SECONDS):
            self._due = now + LINE_SECONDS
            rate = (done - first) / (now - self._started)
            numbers = {f"{self._unit}s_per_s": rate, "eta_s": (total - done) / rate}
            self._print(self._counts | dict(facts or {}) | numbers)

    def watch(self) -> None:
        """Print the last counts whenever there was no line for `QUIET_SECONDS`, until the end."""
        while not self.ended.wait(max(0.01, self._printed + QUIET_SECONDS - time.monotonic())):
            if time.monotonic() - self._printed >= QUIET_SECONDS:
                since = time.monotonic() - self._started
                self._print(self._counts | {"still_working_after_s": since})

    def _print(self, values: Mapping[str, Any]) -> None:
        self._printed = time.monotonic()
        line = {"work": self._title} | {key: _short(value) for key, value in values.items()}
        print(json.dumps(line), file=sys.stderr)


def _short(value: Any) -> Any:
    """Round a number to five digits; infinity and NaN, which JSON lacks, become text."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.5g}") if math.isfinite(value) else str(value)
