"""One candidate in a process of its own: build it, then time one call at each request.

The process reads JSON lines and answers with JSON lines (`benchmarks.pairs` is the other side). The
first line names a factory and its arguments; a factory returns a `Work`. Own processes keep the
memory, the threads and the failures of candidates apart.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Work(NamedTuple):
    """What a factory returns.

    Attributes:
        run: does the work once.
        arrays: gives from the result of ``run`` what must agree with the baseline, by name.
        facts: what is shown beside time and memory, by the heading of its column.
    """

    run: Callable[[], Any]
    arrays: Callable[[Any], dict[str, Any]]
    facts: dict[str, float | str] = {}  # noqa: RUF012


def build(factory: str, arguments: dict[str, Any]) -> Work:
    """Call the factory ``package.module:function``."""
    module, _, function = factory.partition(":")
    work: Work = getattr(importlib.import_module(module), function)(**arguments)
    return work


SHORTEST = 0.2
"""Seconds that are timed at least; the CPU time of threads is known to some milliseconds only."""


def timed(run: Callable[[], Any]) -> dict[str, float]:
    """CPU seconds of all threads and seconds on the clock of one run; repeated until `SHORTEST`."""
    synchronise()
    wall, cpu, count = time.perf_counter(), time.process_time(), 0
    while not count or time.perf_counter() - wall < SHORTEST:
        run()
        synchronise()
        count += 1
    spent = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    return {clock: seconds / count for clock, seconds in spent.items()}


def synchronise() -> None:
    """Wait for the GPU if this process uses one."""
    if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def resident(field: str) -> float | None:
    """MiB of this process: ``VmRSS`` now, ``VmHWM`` at most; None where Linux does not say.

    The peak of ``getrusage`` would begin with that of the parent process.
    """
    try:
        text = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return None
    values = dict(line.split(":", 1) for line in text.splitlines())
    return round(int(values[field].split()[0]) / 1024, 1)


def peaks() -> dict[str, float | None]:
    """Peak MiB of this process, and of its tensors on a GPU."""
    torch = sys.modules.get("torch")
    on_gpu = torch is not None and torch.cuda.is_initialized()
    gpu = round(torch.cuda.max_memory_allocated() / 2**20, 1) if on_gpu else None  # type: ignore[union-attr]
    return {"peak_mib": resident("VmHWM"), "gpu_peak_mib": gpu}


def serve(lines: Any, answer: Callable[[dict[str, Any]], None]) -> None:
    """Build the candidate of the first line; then ``check FILE``, ``time`` or ``peaks``."""
    order = json.loads(next(lines))
    work = build(order["factory"], order["arguments"])
    answer({"start_mib": resident("VmRSS"), "facts": work.facts})
    for line in lines:
        command, _, path = line.strip().partition(" ")
        if command == "check":
            np.savez(path, **work.arrays(work.run()))
            answer({})
        elif command == "time":
            answer(timed(work.run))
        else:
            answer(peaks())


def main() -> None:
    """Serve on the standard streams; what libraries print goes to the error stream."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C is for the parent, which ends this process
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(content: dict[str, Any]) -> None:
        channel.write(json.dumps(content) + "\n")
        channel.flush()

    try:
        serve(iter(sys.stdin.readline, ""), answer)
    except Exception as error:  # any failure of a candidate is a result
        answer({"failed": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
