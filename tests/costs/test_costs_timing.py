"""The largest size that fits into the time is timed."""

import pytest

from dgunet.costs.timing import time_largest


class Clock:
    """A machine that works ``size`` seconds on a size."""

    def __init__(self, seconds):
        self.seconds, self.done = seconds, []

    def left(self):
        return self.seconds - sum(self.done)

    def prepared(self, size):
        def once():
            self.done.append(float(size))
            return float(size)

        return once

    def timed(self, **more):
        return time_largest((1, 2, 4), self.prepared, self.left, work=float, **more)


@pytest.mark.parametrize(
    ("seconds", "size", "count"),
    [
        (0.5, 1, 2),  # no time: the first repetition is not counted, and two are made
        (11.9, 1, 6),  # 5 x 2 s do not fit into the 9.9 s that are left; most is reached
        (12.1, 2, 4),  # they fit into 10.1 s; 5 x 4 s do not fit into 6.1 s
        (1000.0, 4, 6),
    ],
)
def test_the_largest_size_that_fits_is_timed(seconds, size, count):
    assert Clock(seconds).timed(most=6, least=2) == (size, [float(size)] * count)


def test_a_size_that_does_not_fit_into_the_memory_is_not_prepared():
    clock = Clock(1000.0)
    assert clock.timed(fits=lambda size: size < 4, most=3) == (2, [2.0, 2.0, 2.0])
    assert 4.0 not in clock.done
