"""Time pairs in turn and write one file of results for each benchmark and kind of machine.

    python -m benchmarks --quick                # the small cases of every benchmark
    python -m benchmarks inference --only 256x256

Rows of earlier runs on the same kind of machine stay until they are measured again. The page of
docs is generated from the files: python -m benchmarks.page > docs/performance.md
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.machine import slug
from benchmarks.pairs import Limits, Pair, Row, measure
from benchmarks.rows import ratios
from benchmarks.suites import SUITES, Suite
from dgunet.system.files import write_json
from dgunet.system.package_digest import code_version

RESULTS = Path(__file__).parent / "results"


class Progress:
    """Lines for finished pairs, with the time left; on a terminal also a bar."""

    def __init__(self, total: float) -> None:
        quiet = not sys.stderr.isatty()
        form = "{desc} {percentage:3.0f}%|{bar}| {elapsed} elapsed, {remaining} left"
        self._bar = tqdm(total=total, bar_format=form, disable=quiet)
        self._total, self._done, self._began = total, 0.0, time.monotonic()

    def advance(self, seconds: float) -> None:
        """Count work that is done."""
        self._done += seconds
        self._bar.update(seconds)

    @contextlib.contextmanager
    def preparing(self) -> Iterator[None]:
        """Leave the time of the block out of the estimate."""
        begin = time.monotonic()
        yield
        self._began += time.monotonic() - begin

    def begin(self, text: str) -> None:
        """Name the pair that is being measured."""
        self._bar.set_description_str(text)

    def line(self, text: str) -> None:
        """Write a line above the bar."""
        passed = time.monotonic() - self._began
        left = passed * (self._total - self._done) / self._done if self._done else 0
        with tqdm.external_write_mode():
            print(f"{text} [{left / 60:.1f} min left]", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Remove the bar."""
        self._bar.close()


class ResultFile:
    """The rows of one benchmark on one kind of machine."""

    def __init__(self, suite: Suite, machine: dict[str, Any], settings: dict[str, Any]) -> None:
        self.path = RESULTS / f"{suite.name}-{slug(machine)}.json"
        earlier: list[Row] = []
        if self.path.exists():
            earlier = json.loads(self.path.read_text(encoding="utf-8"))["rows"]
        self._order = [pair.key for pair in suite.pairs(machine["device"], quick=False)]
        self._rows = {_key(row): row for row in earlier if _key(row) in self._order}
        self._head = {"benchmark": suite.name, "machine": machine, "settings": settings}

    def add(self, row: Row) -> None:
        """Put a row into the file, in place of the earlier one of the same pair."""
        self._rows[_key(row)] = row
        rows = [self._rows[key] for key in self._order if key in self._rows]
        write_json(self.path, self._head | {"rows": rows})


def _key(row: Row) -> tuple[str, str]:
    return row["case"], row["candidate"]


def summary(row: Row, device: str) -> str:
    """One line about a row."""
    name = f"{row['case']}: {row['candidate']} against {row['baseline']}:"
    if "not_run" in row:
        return f"{name} not run: {row['not_run']}"
    low, middle, high = ratios(row, device)
    return f"{name} {middle:.2f}x ({low:.2f} to {high:.2f}, {len(row['rounds'])} rounds)"


def run(
    chosen: Iterable[tuple[Suite, list[Pair]]], machine: dict[str, Any], limits: Limits
) -> None:
    """Measure the pairs of every suite; each row is in its file at once."""
    chosen = list(chosen)
    code = code_version()
    progress = Progress(sum(pair.seconds for _, pairs in chosen for pair in pairs))
    try:
        for suite, pairs in chosen:
            settings = {"rounds": limits.rounds, "seconds": limits.seconds}
            file = ResultFile(suite, machine, settings)
            with tempfile.TemporaryDirectory() as folder:
                with progress.preparing():
                    ready = suite.prepared(pairs, Path(folder))
                for pair in ready:
                    _measure(pair, file, progress, limits, machine["device"], code)
    finally:
        progress.close()


def _measure(
    pair: Pair, file: ResultFile, progress: Progress, limits: Limits, device: str, code: str
) -> None:
    progress.begin(f"{pair.case}: {pair.candidate.name}")
    done = 0.0

    def tick(part: float) -> None:
        nonlocal done
        done += part
        progress.advance(part * pair.seconds)

    for row in measure(pair, limits, tick):
        file.add(row | {"code": code})
        progress.advance((1 - done) * pair.seconds)
        done = 1.0
        progress.line(summary(row, device))


def machine_facts(device: str, threads: int) -> dict[str, Any]:
    """Description and measured peak of this machine, from a process of its own."""
    line = [sys.executable, "-m", "benchmarks.machine", "--device", device]
    done = subprocess.run(
        [*line, "--threads", str(threads)],
        check=True,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        cwd=Path(__file__).parents[1],
    )
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def main() -> int:
    """Measure what the arguments name; 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suites", nargs="*", metavar="BENCHMARK", help=", ".join(SUITES))
    parser.add_argument("--quick", action="store_true", help="the small cases only")
    parser.add_argument("--only", default="", help="pairs whose case or candidate has this text")
    parser.add_argument("--rounds", type=int, default=Limits.rounds)
    parser.add_argument("--seconds", type=float, default=Limits.seconds, help="limit of a pair")
    parser.add_argument("--threads", type=int, default=0, help="0: the default of torch")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--list", action="store_true", help="list the pairs and measure nothing")
    arguments = parser.parse_args()
    if unknown := set(arguments.suites) - set(SUITES):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(SUITES)}")
    if arguments.rounds < 1:
        parser.error(f"--rounds {arguments.rounds}: at least 1")
    device = arguments.device
    machine = {} if arguments.list else machine_facts(device, arguments.threads)
    device = machine.get("device", "cpu" if device == "auto" else device)
    chosen = []
    for suite in (SUITES[name] for name in arguments.suites or SUITES):
        pairs = [
            pair
            for pair in suite.pairs(device, quick=arguments.quick)
            if arguments.only in f"{pair.case}: {pair.candidate.name}"
        ]
        chosen.append((suite, pairs))
    if arguments.list:
        for suite, pairs in chosen:
            for pair in pairs:
                print(f"{suite.name}: {pair.case}: {pair.candidate.name}")
        return 0
    limits = Limits(arguments.rounds, arguments.seconds, threads=arguments.threads)
    try:
        run([one for one in chosen if one[1]], machine, limits)
    except KeyboardInterrupt:
        print("interrupted; the rows measured so far are in benchmarks/results", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
