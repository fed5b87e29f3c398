"""A compiled pipeline on this machine: as processes, or as containers without a network."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dgunet.kubeflow import run_records
from dgunet.kubeflow.local import containers
from dgunet.kubeflow.local.expected_outputs import Result, check_outputs, present
from dgunet.kubeflow.pipeline.compiling import with_image
from dgunet.kubeflow.run_records import Record
from dgunet.kubeflow.steps.close_campaign import CAMPAIGN
from dgunet.system import environment, files
from dgunet.system.address import redact
from dgunet.system.errors import DgunetError
from dgunet.tracking import TrackingFolders, follow
from dgunet.tracking.run import tracking_mode

PATIENCE = 20
"""Seconds that steps get to write their checkpoints after they were told to stop."""

SCRATCH_BYTES = 1 << 20
"""Steps write their program and small files to the temporary folder."""

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class RunFailedError(DgunetError):
    """A local run did not succeed; its record and log say where."""


@dataclass(frozen=True)
class Containers:
    """Run every step in a container of ``image``."""

    image: str
    network: str = "none"
    gpus: bool = False


@dataclass(frozen=True)
class Job:
    """A run to make.

    Args:
        pipeline: its name.
        text: the IR.
        arguments: see `dgunet.kubeflow.pipeline.arguments`.
        wanted: see `dgunet.kubeflow.local.expected_outputs.wanted_results`.
        home: the project.
        within: containers; None for processes of this environment.
    """

    pipeline: str
    text: str
    arguments: Mapping[str, Any]
    wanted: set[Result]
    home: Path
    within: Containers | None = None


def run(job: Job, *, observe: Callable[[str], None], whole: bool = False) -> Record:
    """Run a pipeline to its end, look at what it left, and lay tables and report out.

    Args:
        observe: called with every finished step, or every line of the log if ``whole``.

    Raises:
        RunFailedError: if a step failed or an output is missing; says where the log is.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, when no step or container runs any more.
        DgunetError: if the containers cannot be had.
    """
    _check_scratch()
    record, log = _prepare(job)
    observe(f"{record.run_id}: artifacts in {record.out}, log in {log}")
    try:
        with _stoppable(), _sending(job.home):
            status = _execute(job, record, log, observe, whole)
        if status:
            raise RunFailedError(f"the run failed: {_last_words(log)}.", f"Its log: {log}")
        found = present(Path(record.out), check_outputs(Path(record.out), job.wanted))
    except DgunetError as error:
        run_records.finish(job.home, record, run_records.FAILED, str(error))
        raise
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt)
        state = run_records.CANCELED if stopped else run_records.FAILED
        run_records.finish(
            job.home, record, state, "interrupted" if stopped else redact(repr(error))
        )
        raise
    return run_records.finish(job.home, record, run_records.SUCCEEDED, **found)


def _prepare(job: Job) -> tuple[Record, Path]:
    """Write down what is to run; returns its record and the log's path."""
    started = time.time()
    run_id = run_records.new_id(started)
    place = run_records.folder(job.home, run_id)
    out = job.home / "build" / "pipelines" / run_id
    workspace = out / ".workspace"
    workspace.mkdir(parents=True)
    place.mkdir(parents=True)
    text, docker = job.text, None
    if job.within:
        digest = containers.image_id(containers.engine(), job.within.image)
        text = with_image(text, job.within.image)
        docker = containers.settings(
            job.home,
            out,
            job.arguments,
            run_id=run_id,
            digest=digest,
            environment=_marks(run_id),
            network=job.within.network,
            gpus=job.within.gpus,
        )
    how = {"docker": docker, "out": str(out), "workspace": str(workspace)}
    files.write_text(place / "pipeline.yaml", text)
    files.write_json(place / "arguments.json", dict(job.arguments))
    files.write_json(place / "how.json", how)
    record = Record(
        run_id=run_id,
        pipeline=job.pipeline,
        runner=job.within.image if job.within else "subprocess",
        out=str(out),
        started=started,
        pid=os.getpid(),
    )
    return run_records.save(job.home, record), place / "log.txt"


def _marks(run_id: str) -> dict[str, str]:
    """How the run's steps call themselves in MLflow; one process sends what they all tell."""
    tracking = tracking_mode(environment.TRACKING.get(), "later")
    return {CAMPAIGN: run_id, "KFP_RUN_ID": run_id, "DGUNET_TRACKING": tracking}


def _execute(
    job: Job, record: Record, log: Path, observe: Callable[[str], None], whole: bool
) -> int:
    """The exit status of the process that runs everything; it leaves nothing behind."""
    # What a step prints is already in the order it happened in.
    changes = _marks(record.run_id) | {"PYTHONUNBUFFERED": "1", "DGUNET_HOME": str(job.home)}
    command = [sys.executable, "-m", "dgunet.kubeflow.local.execute", str(log.parent)]
    process = subprocess.Popen(
        command,
        cwd=job.home,
        env=environment.for_child(changes),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,  # a group of its own: Ctrl-C reaches it through us, whole
    )
    try:
        with log.open("w", encoding="utf-8") as kept:
            for line in process.stdout or ():
                plain = redact(COLOUR.sub("", line))
                kept.write(plain)
                kept.flush()
                if whole:
                    observe(plain.rstrip("\n"))
                elif told := run_records.finished(plain):
                    observe(told)
        return process.wait()
    finally:
        _end(process)
        if job.within:
            containers.stop(containers.engine(), record.run_id)


def _end(process: subprocess.Popen[str]) -> None:
    """Tell the whole group to stop, and see that it does."""
    for number, patience in ((signal.SIGTERM, PATIENCE), (signal.SIGKILL, PATIENCE)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
            limit = time.monotonic() + patience
            while time.monotonic() < limit:
                process.poll()
                os.killpg(process.pid, 0)  # raises when nobody of the group is left
                time.sleep(0.1)
            continue
        break
    process.wait()


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM within the block is as Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _sending(home: Path) -> Iterator[None]:
    """Deliver to MLflow what the steps tell, while they go on; unless that is switched off."""
    if environment.TRACKING.get():
        yield
        return
    stop = threading.Event()
    sender = threading.Thread(target=follow, args=(TrackingFolders.at(home), stop), daemon=True)
    sender.start()
    try:
        yield
    finally:
        stop.set()
        sender.join()


FAILED_STEP = re.compile(r"Task '[^']*' finished with status FAILURE")


def _last_words(log: Path) -> str:
    """The line of the log that says most.

    It is a step's own Python error; else the last line before the runner says that a step failed,
    such as the shell's; else the last one.
    """
    lines = [line.strip() for line in run_records.log_lines(log) if line.strip()]
    for line in reversed(lines):
        if re.match(r"(dgunet\.errors\.)?\w*(Error|Exception): ", line):
            return line.rstrip(".")
    for number, line in enumerate(lines):
        if number and FAILED_STEP.search(line):
            return re.sub(r"^: \d+: ", "", lines[number - 1]).rstrip(".")
    return lines[-1].rstrip(".") if lines else "no word"


def _check_scratch() -> None:
    """Refuse to begin where no step could write its program to the temporary folder."""
    folder = environment.TEMPORARY.get()
    try:
        with tempfile.TemporaryFile(dir=folder) as handle:
            handle.write(bytes(SCRATCH_BYTES))
            handle.flush()
    except OSError as error:
        raise DgunetError(
            f"the temporary folder {folder} takes no {SCRATCH_BYTES >> 20} MiB"
            f" ({error.strerror or error}).",
            "Free some space, or name another folder with TMPDIR.",
        ) from error
