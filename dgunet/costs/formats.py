"""Durations, sizes and operation counts as people read them."""

from __future__ import annotations

import math


def duration(seconds: float) -> str:
    """Format a duration with one unit and two or three digits.

    >>> duration(0.2), duration(840), duration(11_500), duration(1_000_000)
    ('under 1 s', '14 min', '3.2 h', '12 days')
    """
    if not math.isfinite(seconds):
        return "unknown"
    if seconds < 1:
        return "under 1 s"
    for limit, unit, name in ((90, 1, "s"), (5_400, 60, "min"), (48 * 3_600, 3_600, "h")):
        if seconds < limit:
            return f"{_short(seconds / unit, decimals=name == 'h')} {name}"
    return f"{_short(seconds / 86_400, decimals=True)} days"


def size(count: float) -> str:
    """Format ``count`` bytes with a decimal unit.

    >>> size(999), size(1_360_310_555)
    ('999 B', '1.4 GB')
    """
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def operations(count: float) -> str:
    """Format a number of floating-point operations.

    >>> operations(947_135_033_728), operations(3.99e18)
    ('947 GFLOP', '3.99 EFLOP')
    """
    value, unit = float(count), ""
    for larger in ("k", "M", "G", "T", "P", "E", "Z"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}FLOP"


def _short(value: float, *, decimals: bool) -> str:
    """Format with one decimal below 10 if ``decimals``, else as a whole number."""
    return f"{value:.1f}" if decimals and round(value, 1) < 10 else f"{value:,.0f}"
