"""Pairs timed in turn: baseline, candidate, baseline, candidate, each in its own process.

On a shared machine times mean little, but the ratio of two calls that follow each other does; it is
kept for every round. A candidate that cannot run leaves a row with the reason.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rows import Row
from dgunet.system.machine_limits import free_memory

Tick = Callable[[float], None]
"""Called with the part of a pair, from 0 to 1, that has been done since the last call."""


@dataclass(frozen=True)
class Candidate:
    """What is timed.

    Attributes:
        name: how tables call it.
        factory: ``module:function``, which returns a `benchmarks.worker.Work`.
        arguments: of the factory, as JSON.
        units: pieces of work in one call; times are for one piece.
    """

    name: str
    factory: str
    arguments: dict[str, Any] = field(default_factory=dict)
    units: int = 1


def in_ways(factory: str, arguments: dict[str, Any], *ways: str) -> list[Candidate]:
    """Return candidates of one factory that differ in its argument ``way``, their name."""
    return [Candidate(way, factory, arguments | {"way": way}) for way in ways]


@dataclass(frozen=True)
class Pair:
    """A candidate beside its baseline.

    Attributes:
        case: the work that both do.
        flops: operations of one piece of work, where they are counted.
        seconds: expected duration of both calls, for the time left; see `expected`.
        memory: bytes that both processes need together, as far as known.
        tolerance: largest difference from the baseline, relative to its largest value; None where
            a difference is only stated.
    """

    case: str
    baseline: Candidate
    candidate: Candidate
    flops: int | None = None
    seconds: float = 1.0
    memory: int = 0
    tolerance: float | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What identifies its row in a file of results."""
        return self.case, self.candidate.name


def expected(operations: float) -> float:
    """Seconds of both calls of a pair on a slow core, with a share of starting the processes."""
    return 1 + 2 * operations / 5e10


@dataclass(frozen=True)
class Limits:
    """How long a pair is measured.

    Attributes:
        rounds: most rounds.
        seconds: no further round begins after this time, but `ENOUGH` are always made.
        start: seconds for building a candidate and its first call, compilation included.
        threads: CPU threads of a process; 0 leaves the number to the libraries.
    """

    rounds: int = 7
    seconds: float = 240.0
    start: float = 900.0
    threads: int = 0


ENOUGH = 3
"""Rounds after which the limit of time applies."""


class NotRunError(Exception):
    """A candidate cannot run; the message is the reason."""


class Worker:
    """The process of one candidate; a context manager that ends it."""

    def __init__(self, candidate: Candidate, limits: Limits) -> None:
        self._candidate, self._limits = candidate, limits
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        threads = {"OMP_NUM_THREADS": str(limits.threads)} if limits.threads else {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            encoding="utf-8",
            bufsize=1,
            env=os.environ | threads,
            cwd=Path(__file__).parents[1],
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def start(self) -> dict[str, Any]:
        """Build the candidate; MiB of the process then."""
        order = {"factory": self._candidate.factory, "arguments": self._candidate.arguments}
        return self.ask(json.dumps(order))

    def ask(self, line: str) -> dict[str, Any]:
        """Send a request and return the answer.

        Raises:
            NotRunError: if the candidate failed, its process ended, or time is up.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise NotRunError(self._ending()) from None
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._process.stdout, selectors.EVENT_READ)
            if not waiting.select(self._limits.start):
                raise NotRunError(
                    f"{self._candidate.name}: no answer in {self._limits.start:.0f} s"
                )
        if not (answer := self._process.stdout.readline()):
            raise NotRunError(self._ending())
        content: dict[str, Any] = json.loads(answer)
        if "failed" in content:
            raise NotRunError(f"{self._candidate.name}: {without_paths(content['failed'])}")
        return content

    def _ending(self) -> str:
        status = self._process.wait()
        self._errors.seek(0)
        last = [line for line in self._errors.read().splitlines() if line.strip()][-1:]
        how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        return without_paths(": ".join([self._candidate.name, f"process ended by {how}", *last]))


def without_paths(text: str) -> str:
    """The first line of a message, without folders of this machine, at most 200 characters."""
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return re.sub(r"(?:~|\.{1,2})?(?:/[^/\s'\"]+)*/(?=[^/\s'\"]+)", "", first)[:200]


def measure(pair: Pair, limits: Limits, tick: Tick = lambda part: None) -> Iterator[Row]:
    """Yield the row of a pair; after Ctrl-C what was measured, then raise KeyboardInterrupt."""
    row: Row = {"case": pair.case, "baseline": pair.baseline.name, "candidate": pair.candidate.name}
    row["date"] = datetime.datetime.now(datetime.UTC).date().isoformat()
    try:
        free = free_memory()
        if pair.memory > free:
            need, have = (f"{count / 2**30:.1f} GiB" for count in (pair.memory, free))
            raise NotRunError(f"needs about {need} for both processes, {have} were free")
        with ExitStack() as stack:
            workers = [
                stack.enter_context(Worker(candidate, limits))
                for candidate in (pair.baseline, pair.candidate)
            ]
            _fill(row, pair, workers, limits, tick)
    except NotRunError as reason:
        row["not_run"] = str(reason)
    except KeyboardInterrupt:
        if row.get("rounds"):
            yield row
        raise
    yield row


def _fill(row: Row, pair: Pair, workers: list[Worker], limits: Limits, tick: Tick) -> None:
    """Check that both give the same, then time them in turn; ``row`` grows with every round."""
    sides = ("baseline", "candidate")
    started = [worker.start() for worker in workers]
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{side}.npz" for side in sides]
        for worker, file in zip(workers, files, strict=True):
            worker.ask(f"check {file}")
        row["differences"] = differences(*files)
    _check_equal(row["differences"], pair)
    tick(1 / (limits.rounds + 1))
    row |= {"flops": pair.flops, "load": [load()], "rounds": []}
    begin = time.monotonic()
    while len(row["rounds"]) < limits.rounds:
        if len(row["rounds"]) >= ENOUGH and time.monotonic() - begin > limits.seconds:
            break
        both = [worker.ask("time") for worker in workers]
        peaks = [one | worker.ask("peaks") for one, worker in zip(started, workers, strict=True)]
        row["rounds"].append(_one_round(both, pair))
        row["load"] = [row["load"][0], load()]
        row["memory"] = dict(zip(sides, peaks, strict=True))
        tick(1 / (limits.rounds + 1))


def _one_round(both: list[dict[str, Any]], pair: Pair) -> dict[str, list[float]]:
    """Seconds of baseline and candidate for one piece of work, by clock."""
    units = (pair.baseline.units, pair.candidate.units)
    return {
        clock: [float(f"{one[clock] / n:.4g}") for one, n in zip(both, units, strict=True)]
        for clock in ("cpu", "wall")
    }


def differences(baseline: Path, candidate: Path) -> dict[str, dict[str, float]]:
    """Largest absolute difference of each array, and relative to the baseline's largest value."""
    found = {}
    with np.load(baseline) as first, np.load(candidate) as second:
        if sorted(first) != sorted(second):
            raise NotRunError(
                f"results are {sorted(second)}, those of the baseline {sorted(first)}"
            )
        for name in first:
            a, b = (np.asarray(side[name], np.float64) for side in (first, second))
            if a.shape != b.shape:
                raise NotRunError(f"{name} has shape {b.shape}, that of the baseline {a.shape}")
            absolute, scale = float(np.abs(a - b).max()), float(np.abs(a).max())
            found[name] = {
                "absolute": float(f"{absolute:.3g}"),
                "relative": float(f"{absolute / scale if scale else absolute:.3g}"),
            }
    return found


def _check_equal(found: dict[str, dict[str, float]], pair: Pair) -> None:
    """Refuse a candidate that does other work: its speed would mean nothing."""
    for name, difference in found.items():
        if pair.tolerance is not None and not difference["relative"] <= pair.tolerance:
            raise NotRunError(
                f"{name} differs from that of {pair.baseline.name} by {difference['relative']:g}"
                f" of its largest value; allowed are {pair.tolerance:g}"
            )


def load() -> float | None:
    """The load average of the last minute."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
