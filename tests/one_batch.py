"""Batches for `dgunet.training.loop.train` without a prepared set."""


class OneBatch:
    """The same batch at every step."""

    def __init__(self, degraded, target):
        self.batch = len(target)
        self._pair = degraded, target

    def part(self, step, positions):
        degraded, target = self._pair
        return degraded[list(positions)], target[list(positions)]
