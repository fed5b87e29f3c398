"""Numbers that are derived from the rounds of a row."""

from __future__ import annotations

import statistics
from typing import Any

Row = dict[str, Any]


def clock(device: str) -> str:
    """The clock that counts: CPU time on a CPU, which others may share; else time on the clock."""
    return "wall" if device == "cuda" else "cpu"


def ratios(row: Row, device: str) -> tuple[float, float, float]:
    """Lowest, median and highest ratio of the rounds: how many times faster the candidate is."""
    found = sorted(a / b for a, b in (one[clock(device)] for one in row["rounds"]))
    return found[0], statistics.median(found), found[-1]


def seconds(row: Row, kind: str) -> tuple[float, float]:
    """Median seconds of baseline and candidate; ``kind`` is ``cpu`` or ``wall``."""
    first, second = zip(*(one[kind] for one in row["rounds"]), strict=True)
    return statistics.median(first), statistics.median(second)
