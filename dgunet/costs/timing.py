"""Timing of repeated work on the largest size that fits into the time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Size = TypeVar("Size")

ENOUGH = 4
"""Repetitions on a larger size that must fit into the remaining time, beside the first."""


def time_largest(
    sizes: Sequence[Size],
    prepared: Callable[[Size], Callable[[], float]],
    left: Callable[[], float],
    *,
    work: Callable[[Size], float],
    fits: Callable[[Size], bool] = lambda size: True,
    most: int,
    least: int = 1,
) -> tuple[Size, list[float]]:
    """Return the largest size that was timed, and the seconds of its repetitions.

    Args:
        sizes: from small to large; the first is timed in any case.
        prepared: gives what does the work of a size once and returns its seconds.
        left: the seconds that are left.
        work: amount of work of a size, in any unit.
        fits: whether a size fits into the memory.
        most: most repetitions on the largest size; more would not change the median.
        least: repetitions that are made even without time.
    """
    for size, larger in zip(sizes, [*sizes[1:], None], strict=True):
        once = prepared(size)
        once()  # the first one chooses algorithms and is not counted
        times = [once()]
        if larger is None or not fits(larger):
            break
        if (1 + ENOUGH) * times[0] * work(larger) / work(size) > left():
            break
    while len(times) < most and (len(times) < least or max(times) < left()):
        times.append(once())
    return size, times
