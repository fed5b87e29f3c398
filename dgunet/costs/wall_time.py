"""How long pieces of work take that share GPUs and wait for each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush


@dataclass(frozen=True)
class Job:
    """A piece of work in a schedule: its kind of step, its GPUs and its duration."""

    step: str
    gpus: int
    seconds: float


def wall_seconds(
    jobs: Sequence[Job], together: Mapping[str, int], quota: int | None
) -> float | None:
    """Return the seconds until all jobs are done; None if one needs more GPUs than the quota.

    Each starts, in the order given within its kind of step, as soon as ``together`` (the jobs of
    that kind at a time) and the quota allow it; until then it waits.
    """
    if any(quota is not None and job.gpus > quota for job in jobs):
        return None
    waiting, now, used = list(jobs), 0.0, 0
    running: list[tuple[float, int, Job]] = []
    busy: Counter[str] = Counter()
    while waiting or running:
        for job in list(waiting):
            fits = quota is None or used + job.gpus <= quota
            if fits and busy[job.step] < together[job.step]:
                waiting.remove(job)
                used += job.gpus
                busy[job.step] += 1
                heappush(running, (now + job.seconds, len(waiting), job))
        now, _, done = heappop(running)
        used -= done.gpus
        busy[done.step] -= 1
    return now
