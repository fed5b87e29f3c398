"""Progress of long work: a bar on a terminal, lines of JSON elsewhere."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from tqdm import tqdm

from dgunet.data.store import verification

LINE_SECONDS = 10.0
"""Without a terminal, at most one line in this time, and one at the end of long work."""


class Tell(Protocol):
    """Called after every unit of the work."""

    def __call__(
        self, done: int, total: int, remark: str = "", facts: Mapping[str, float] | None = None
    ) -> None:
        """How many are done, of how many, a remark, and numbers to show by name."""


@contextmanager
def counting(title: str, unit: str) -> Iterator[Tell]:
    """Yield a function to call after every ``unit`` of the work."""
    with _bar(title, unit) if sys.stderr.isatty() else _lines(title, unit) as tell:
        yield tell


def show_verification() -> None:
    """Show the progress of verifying prepared stores, as all other work of the stages."""
    verification.progress = lambda title: counting(title, "MB")


@contextmanager
def _bar(title: str, unit: str) -> Iterator[Tell]:
    with tqdm(desc=title, unit=unit) as bar:

        def tell(
            done: int, total: int, remark: str = "", facts: Mapping[str, float] | None = None
        ) -> None:
            bar.total = total
            said = [remark] * bool(remark) + [f"{k} {v:.5g}" for k, v in (facts or {}).items()]
            bar.set_postfix_str(", ".join(said), refresh=False)
            bar.update(done - bar.n)

        yield tell


@contextmanager
def _lines(title: str, unit: str) -> Iterator[Tell]:
    """Each line is an object: work, the unit's number, of, the facts, pace and seconds left."""
    started = time.monotonic()
    due = started + LINE_SECONDS
    first = None

    def tell(
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

    yield tell


def _short(value: Any) -> Any:
    """A number with five digits; JSON knows no infinity and no NaN, so these become text."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.5g}") if math.isfinite(value) else str(value)
