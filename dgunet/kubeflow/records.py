"""Runs of pipelines on this machine: a small record of each under ``.dgunet/pipelines``."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from dgunet import files
from dgunet.errors import ConfigError, DgunetError

PREFIX = "local-"
RUNNING, SUCCEEDED, FAILED, CANCELED = "RUNNING", "SUCCEEDED", "FAILED", "CANCELED"
"""As Kubeflow calls them."""

STEP = re.compile(r"(\d\d:\d\d:\d\d)\.\d+ - \w+ - Task '([\w-]+)' finished with status (\w+)")
"""How kfp's local runner says that a step has ended."""


@dataclass(frozen=True)
class Record:
    """One local run; its folder also holds ``log.txt`` and ``pipeline.yaml``."""

    run_id: str
    pipeline: str
    runner: str
    """``subprocess``, or the image of the containers."""
    out: str
    """Folder of all artifacts."""
    started: float
    """Seconds since 1970."""
    pid: int = 0
    state: str = RUNNING
    ended: float = 0.0
    error: str = ""
    found: dict[str, str] = field(default_factory=dict)
    """Where tables and report are."""

    @property
    def lives(self) -> bool:
        """Whether the process that runs it is still there."""
        try:
            return self.state == RUNNING and bool(
                psutil.Process(self.pid).create_time() <= self.started
            )
        except psutil.Error:
            return False

    @property
    def told(self) -> str:
        """Its state; a run whose process is gone without a word was killed."""
        return "KILLED" if self.state == RUNNING and not self.lives else self.state

    @property
    def seconds(self) -> float:
        """How long it took, or has taken so far."""
        return (self.ended or time.time()) - self.started


def is_local(run_id: str) -> bool:
    """Whether an id is that of a run on this machine."""
    return run_id.startswith(PREFIX)


def new_id(moment: float) -> str:
    """An id that sorts by time."""
    return f"{PREFIX}{datetime.fromtimestamp(moment):%Y%m%d-%H%M%S}-{os.urandom(2).hex()}"


def folder(home: Path, run_id: str = "") -> Path:
    """Where the record of a run lies, or those of all."""
    return home / ".dgunet" / "pipelines" / run_id


def save(home: Path, record: Record) -> Record:
    """Write a record; returns it."""
    files.write_json(folder(home, record.run_id) / "run.json", asdict(record))
    return record


def read(home: Path, run_id: str) -> Record:
    """The record of a run.

    Raises:
        ConfigError: for an unknown id; the message names the last run.
    """
    path = folder(home, run_id) / "run.json"
    if not path.is_file():
        known = [record.run_id for record in last(home, 1)]
        mend = f"The last one is {known[0]}." if known else "None was made here yet."
        raise ConfigError(f"no local run {run_id}.", mend)
    return Record(**json.loads(path.read_text()))


def last(home: Path, count: int) -> list[Record]:
    """The newest runs, newest first."""
    paths = sorted(folder(home).glob(f"{PREFIX}*/run.json"), reverse=True)
    return [Record(**json.loads(path.read_text())) for path in paths[:count]]


def finish(home: Path, record: Record, state: str, error: str = "", **found: str) -> Record:
    """Write how a run ended; returns the new record."""
    ended = replace(record, state=state, ended=time.time(), error=error, found=found)
    return save(home, ended)


def finished(line: str) -> str | None:
    """What a line of the log says about the end of a step: time, step, state."""
    found = STEP.search(line)
    return f"  {found[1]}  {found[2]:14} {found[3]}" if found else None


def status_text(home: Path, run_id: str) -> str:
    """A run, its steps that have ended, and where its things are.

    Raises:
        ConfigError: for an unknown id.
    """
    record, log = read(home, run_id), folder(home, run_id) / "log.txt"
    steps = [finished(each) for each in log.read_text().splitlines()] if log.is_file() else []
    places = {"artifacts": record.out, "log": str(log), **record.found}
    lines = [
        line(record),
        *(step for step in steps if step),
        *(f"  {what:10} {where}" for what, where in places.items()),
        *([f"  error      {record.error}"] if record.error else []),
    ]
    return "\n".join(lines)


def cancel(home: Path, run_id: str) -> str:
    """End a run that another process of this machine does, as Ctrl-C there would.

    Raises:
        DgunetError: if it is over.
    """
    record = read(home, run_id)
    if not record.lives:
        raise DgunetError(f"{run_id} is over: {record.told}.", "There is nothing to cancel.")
    os.kill(record.pid, signal.SIGINT)
    return f"{run_id} was told to stop; see: dgunet pipeline status {run_id}"


def line(record: Record) -> str:
    """A run in one line."""
    return f"{record.run_id}  {record.pipeline:20} {record.told:9} {record.seconds:8.0f} s"
