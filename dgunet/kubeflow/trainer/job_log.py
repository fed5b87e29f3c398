"""What the waiting step says of its TrainJob: its state, its progress, and that it still waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from dgunet.costs.formats import duration
from dgunet.kubeflow.trainer.job_state import Pod, describe

PROGRESS_SECONDS = 60.0
"""Minimum seconds between two lines about the progress."""

QUIET_SECONDS = 300.0
"""Seconds without a line after which the state is repeated, with the time since its last change."""


class JobLog:
    """Logs a line when the state or the progress of a job changes, and otherwise at intervals.

    Args:
        log: receives each line.
        clock: seconds, never decreasing.
    """

    def __init__(
        self, log: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log, self._clock = log, clock
        self._state = self._progress = self._told = ""
        self._changed = self._last = clock()

    def follow(self, job: dict[str, Any], pods: list[Pod]) -> None:
        """Log what is due; see the class."""
        state, progress, now = describe(job, pods), describe_progress(job), self._clock()
        is_new = state != self._state
        if is_new or progress != self._progress:
            self._state, self._progress, self._changed = state, progress, now
        waited = now - self._last
        if is_new or (progress != self._told and waited >= PROGRESS_SECONDS):
            self._say(now)
        elif waited >= QUIET_SECONDS:
            self._say(now, f"; unchanged for {duration(now - self._changed)}")

    def _say(self, now: float, more: str = "") -> None:
        self._last, self._told = now, self._progress
        self._log(self._state + (f"; {self._progress}" if self._progress else "") + more)


def describe_progress(job: dict[str, Any]) -> str:
    """The progress that the training reported to Trainer; "" if it reported none.

    For example ``42 %, 3.2 h left, loss 0.0123, validation_psnr 31.2``.
    """
    status = (job.get("status") or {}).get("trainerStatus") or {}
    parts = []
    if (percent := status.get("progressPercentage")) is not None:
        parts.append(f"{percent} %")
    if (left := status.get("estimatedRemainingSeconds")) is not None:
        parts.append(f"{duration(left)} left")
    return ", ".join(parts + [f"{m['name']} {m['value']}" for m in status.get("metrics") or ()])
