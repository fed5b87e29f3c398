"""Records of pipeline runs on this machine, under ``.dgunet/pipelines``."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path

import psutil  # type: ignore[import-untyped]
from pydantic import TypeAdapter, ValidationError

from dgunet.system import files
from dgunet.system.errors import ConfigError, DgunetError
from dgunet.system.reading import read_mapping, shorten, shorten_bare

PREFIX = "local-"
RUNNING, SUCCEEDED, FAILED, CANCELED = "RUNNING", "SUCCEEDED", "FAILED", "CANCELED"
"""States of a run, with Kubeflow's names."""

STATES = (RUNNING, SUCCEEDED, FAILED, CANCELED)
DAMAGED = "DAMAGED"
"""State shown for a run whose record cannot be read."""

ID = re.compile(r"local-[0-9A-Za-z-]{1,64}")
RECORD_BYTES = 1 << 20
CANCEL_SECONDS = 60.0
"""Longer than a run takes to end: its steps get SIGTERM, and SIGKILL 20 s later."""

SUCCESS, FAILURE = "SUCCESS", "FAILURE"
"""States of a step, with kfp's names."""

STEP = re.compile(
    r"\s*\[dgunet (\d\d:\d\d:\d\d)\] ([\w-]+) (SUCCESS|FAILURE)(?: of \[(.*?)\])?(?:: (.*))?"
)
"""The line that a local run adds to its log after a step; see `StepEnd.to_log`."""


@dataclass(frozen=True)
class StepEnd:
    """How a step of a local run ended.

    Attributes:
        time: of the clock, e.g. ``12:30:00``.
        name: of the component, e.g. ``evaluate``.
        state: `SUCCESS` or `FAILURE`.
        about: what it worked on, e.g. ``Rain100L, DGUNet``; may be empty.
        cause: of a failure, else empty.
    """

    time: str
    name: str
    state: str
    about: str = ""
    cause: str = ""

    @classmethod
    def from_log(cls, line: str) -> StepEnd | None:
        """The end of a step that a line of the log reports; None for other lines."""
        found = STEP.fullmatch(line.rstrip())
        return cls(*(each or "" for each in found.groups())) if found else None

    def to_log(self) -> str:
        """The line for the log."""
        of = f" of [{self.about}]" if self.about else ""
        return f"[dgunet {self.time}] {self.name} {self.state}{of}" + (
            f": {self.cause}" if self.cause else ""
        )

    def to_screen(self) -> str:
        """The line for a user, in columns."""
        shown = f"  {self.time}  {self.name:17} {self.state}  {self.about}".rstrip()
        return shown + (f": {self.cause}" if self.cause else "")

    def to_sentence(self) -> str:
        """What failed and why, e.g. ``evaluate of Rain100L, DGUNet: no such file``."""
        return f"{self.name}{f' of {self.about}' if self.about else ''}: {self.cause}"


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
    """Paths of tables and report."""

    @property
    def lives(self) -> bool:
        """Whether the run's process still exists."""
        try:
            return self.state == RUNNING and bool(
                self.pid > 1 and psutil.Process(self.pid).create_time() <= self.started
            )
        except (psutil.Error, OverflowError, ValueError):
            return False

    @property
    def shown_state(self) -> str:
        """The state; ``KILLED`` if the process ended without recording one."""
        return "KILLED" if self.state == RUNNING and not self.lives else self.state

    @property
    def seconds(self) -> float:
        """Duration, up to now if the run is still active."""
        return (self.ended or time.time()) - self.started


_RECORD = TypeAdapter(Record)


def is_local(run_id: str) -> bool:
    """Whether ``run_id`` belongs to a run on this machine."""
    return run_id.startswith(PREFIX)


def new_id(moment: float) -> str:
    """An id that sorts by time."""
    return f"{PREFIX}{datetime.fromtimestamp(moment):%Y%m%d-%H%M%S}-{os.urandom(2).hex()}"


def folder(home: Path, run_id: str = "") -> Path:
    """The folder of the record of ``run_id``; by default that of all records."""
    return home / ".dgunet" / "pipelines" / run_id


def save(home: Path, record: Record) -> Record:
    """Write a record; returns it."""
    files.write_json(folder(home, record.run_id) / "run.json", asdict(record))
    return record


def read(home: Path, run_id: str) -> Record:
    """The record of a run.

    Raises:
        ConfigError: for an unknown id; the message names the last run.
        DgunetError: if the record is damaged.
    """
    path = folder(home, run_id) / "run.json"
    if not ID.fullmatch(run_id) or not path.is_file():
        known = [record.run_id for record in last(home, 1)]
        hint = f"The last one is {known[0]}." if known else "There are none yet."
        raise ConfigError(f"no local run {shorten(run_id)[1:-1]}.", hint)
    return _read(path)


def last(home: Path, count: int) -> list[Record]:
    """The last ``count`` runs, newest first; one with a damaged record has the state `DAMAGED`."""
    paths = sorted(folder(home).glob(f"{PREFIX}*/run.json"), reverse=True)
    return [_read_or_damaged(path) for path in paths[:count]]


def _read_or_damaged(path: Path) -> Record:
    try:
        return _read(path)
    except (DgunetError, OSError) as error:
        folder = path.parent
        return Record(
            folder.name,
            "?",
            "?",
            str(folder),
            folder.stat().st_mtime,
            state=DAMAGED,
            error=str(error),
        )


def _read(path: Path) -> Record:
    content = read_mapping(path, limit=RECORD_BYTES, kind=DgunetError)
    try:
        if unknown := sorted(set(content) - {each.name for each in fields(Record)}):
            raise ValueError(f"{shorten(unknown[0])} is not a field of a record")
        record = _RECORD.validate_json(json.dumps(content), strict=True)
        if record.state not in STATES or not (0 <= record.pid < 2**31):
            raise ValueError(f"state {shorten(record.state)} or pid {record.pid} is invalid")
        if not all(0 <= moment < 1e11 for moment in (record.started, record.ended)):
            raise ValueError("its start or end time is out of range")
    except ValidationError as error:  # before ValueError, its base class
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise DgunetError(
            f"{path}: {shorten_bare(key)} is invalid ({first['msg']}).",
            "The record is damaged: delete this file.",
        ) from error
    except ValueError as error:
        raise DgunetError(
            f"{path}: {error}.", "The record is damaged: delete this file."
        ) from error
    return record


def finish(home: Path, record: Record, state: str, error: str = "", **found: str) -> Record:
    """Record how a run ended; returns the new record."""
    ended = replace(record, state=state, ended=time.time(), error=error, found=found)
    return save(home, ended)


def status_text(home: Path, run_id: str) -> str:
    """A run with its finished steps and the paths of its files.

    Raises:
        ConfigError: for an unknown id.
    """
    record, log = read(home, run_id), folder(home, run_id) / "log.txt"
    steps = [StepEnd.from_log(each) for each in log_lines(log)]
    paths = {"artifacts": record.out, "log": str(log), **record.found}
    lines = [
        summary_line(record),
        *(step.to_screen() for step in steps if step),
        *(f"  {what:10} {path}" for what, path in paths.items()),
        *([f"  error      {record.error}"] if record.error else []),
    ]
    return "\n".join(lines)


def log_lines(log: Path) -> Iterator[str]:
    """The lines of a log, with invalid UTF-8 replaced; no lines without a log."""
    if log.is_file():
        with log.open(encoding="utf-8", errors="replace") as handle:
            for each in handle:
                yield each.rstrip("\n")


def cancel_run(home: Path, run_id: str, *, wait: float = CANCEL_SECONDS) -> str:
    """End a run of another process of this machine, wait for its end, and tell how it ended.

    SIGTERM and not SIGINT: a run that a script started with ``&`` ignores SIGINT.

    Args:
        wait: seconds to wait for its end.

    Raises:
        DgunetError: if it has already ended, belongs to another user, or still runs after ``wait``.
    """
    record = read(home, run_id)
    if not record.lives:
        raise DgunetError(
            f"{run_id} has already ended: {record.shown_state}.", "There is nothing to cancel."
        )
    try:
        os.kill(record.pid, signal.SIGTERM)
    except ProcessLookupError:
        pass  # it ended meanwhile
    except PermissionError as error:
        raise DgunetError(
            f"{run_id} belongs to another user (process {record.pid}).",
            "Its owner or an administrator can cancel it.",
        ) from error
    limit = time.monotonic() + wait
    while (record := read(home, run_id)).lives:
        if time.monotonic() > limit:
            raise DgunetError(
                f"{run_id} still runs {wait:.0f} s after SIGTERM.",
                f"Wait, and see: dgunet pipeline status {run_id}. To end it and its steps at once, "
                f"without a checkpoint: {_kill_command(record.pid)}",
            )
        time.sleep(0.1)
    if record.state == RUNNING:
        return f"{run_id} has ended without recording how: {record.shown_state}"
    if record.state == CANCELED:
        return f"{run_id} has ended: {CANCELED}"
    return f"{run_id} had ended before it could be cancelled: {record.state}"


def _kill_command(pid: int) -> str:
    """The command that ends a run and the process groups of its steps."""
    groups: list[str] = []
    with suppress(psutil.Error):
        groups = [f" -{child.pid}" for child in psutil.Process(pid).children()]
    return f"kill -KILL -- {pid}{''.join(groups)}"


def summary_line(record: Record) -> str:
    """A run in one line."""
    return f"{record.run_id}  {record.pipeline:20} {record.shown_state:9} {record.seconds:8.0f} s"
