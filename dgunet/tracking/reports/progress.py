"""Progress of long work: a bar on a terminal, JSON lines elsewhere."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from tqdm import tqdm

from dgunet.data.store import verification

LINE_SECONDS = 10.0
"""Minimum seconds between two lines without a terminal; long work has one more line at its end."""


class ReportProgress(Protocol):
    """A function that is called after every unit of the work."""

    def __call__(
        self, done: int, total: int, remark: str = "", facts: Mapping[str, float] | None = None
    ) -> None:
        """Show the units done, their total, a remark, and further numbers by name."""


@contextmanager
def counting(title: str, unit: str) -> Iterator[ReportProgress]:
    """Yield a function that is called after every ``unit`` of the work."""
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


@contextmanager
def _lines(title: str, unit: str) -> Iterator[ReportProgress]:
    """Print JSON objects: the work, units done, their total, numbers, rate and seconds left."""
    started = time.monotonic()
    due = started + LINE_SECONDS
    first = None

    def report(
        done: int, total: int, remark: str = "", facts: Mapping[str, float] | None = None
    ) -> None:
        nonlocal due, first
        first = done - 1 if first is None else first
        now = time.monotonic()
        if now >= due or (done == total and due > started + LINE_SECONDS):
            due = now + LINE_SECONDS
            rate = (done - first) / (now - started)
            line: dict[str, Any] = {"work": title, unit: done, "of": total}
            line |= {"remark": remark} if remark else {}
            line |= dict(facts or {}) | {f"{unit}s_per_s": rate, "eta_s": (total - done) / rate}
            print(json.dumps({k: _short(v) for k, v in line.items()}), file=sys.stderr)

    yield report


def _short(value: Any) -> Any:
    """Round a number to five digits; infinity and NaN, which JSON lacks, become text."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.5g}") if math.isfinite(value) else str(value)
