"""Runs a compiled pipeline on this machine: as processes, or as containers without a network."""

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
from dgunet.kubeflow.local.expected_outputs import Result, check_outputs, copy_to_top
from dgunet.kubeflow.pipeline.compiling import with_image
from dgunet.kubeflow.pipeline.weights_origin import is_released
from dgunet.kubeflow.run_records import FAILURE, Record, StepEnd
from dgunet.system import environment, files
from dgunet.system.address import redact
from dgunet.system.errors import DgunetError
from dgunet.system.termination import sigterm_raises
from dgunet.tracking import TrackingFolders, follow
from dgunet.tracking.tracking_mode import tracking_mode

TERMINATION_SECONDS = 20
"""Time for the steps to write their checkpoints after SIGTERM, seconds."""

SCRATCH_BYTES = 1 << 20
"""Free space that steps need in the temporary folder for their programs and small files."""

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class RunFailedError(DgunetError):
    """A local run failed; its record and log contain the cause."""


@dataclass(frozen=True)
class ContainerOptions:
    """Settings for running every step in a container of ``image``."""

    image: str
    network: str = "none"
    gpus: bool = False


@dataclass(frozen=True)
class LocalRun:
    """A pipeline run on this machine.

    Attributes:
        pipeline: the name of the pipeline.
        text: its IR.
        arguments: see `dgunet.kubeflow.pipeline.arguments`.
        expected: see `dgunet.kubeflow.local.expected_outputs.expected_results`.
        home: the project.
        containers: options of the containers; None for processes of this environment.
    """

    pipeline: str
    text: str
    arguments: Mapping[str, Any]
    expected: set[Result]
    home: Path
    containers: ContainerOptions | None = None


def run_locally(run: LocalRun, *, progress: Callable[[str], None], verbose: bool = False) -> Record:
    """Run a pipeline, check its outputs, and copy tables and report to the top of its folder.

    Args:
        progress: called with a line for every finished step, or if ``verbose`` with every line of
            the log.

    Raises:
        RunFailedError: if a step failed; the hint names the log.
        OutputError: if an output is missing.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, when all steps and containers have ended.
        DgunetError: if the containers cannot be started.
    """
    _check_scratch()
    record, log = _prepare(run)
    progress(f"{record.run_id}: artifacts in {record.out}, log in {log}")
    try:
        with sigterm_raises(KeyboardInterrupt), _delivering(run.home):
            status = _execute(run, record, log, progress if verbose else _finished_only(progress))
        if status:
            raise RunFailedError(
                f"the run failed: {_cause_of_failure(log)}.", f"See the log: {log}"
            )
        out = Path(record.out)
        found = copy_to_top(out, check_outputs(out, run.expected))
    except DgunetError as error:
        run_records.finish(run.home, record, run_records.FAILED, str(error))
        raise
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt)
        state = run_records.CANCELED if stopped else run_records.FAILED
        run_records.finish(
            run.home, record, state, "interrupted" if stopped else redact(repr(error))
        )
        raise
    return run_records.finish(run.home, record, run_records.SUCCEEDED, **found)


def _prepare(run: LocalRun) -> tuple[Record, Path]:
    """Write pipeline, arguments and settings to files; returns the run's record and log."""
    started = time.time()
    run_id = run_records.new_id(started)
    folder = run_records.folder(run.home, run_id)
    out = run.home / "build" / "pipelines" / run_id
    workspace = out / ".workspace"
    workspace.mkdir(parents=True)
    folder.mkdir(parents=True)
    text, docker = run.text, None
    if options := run.containers:
        digest = containers.image_id(containers.docker_engine(), options.image)
        text = with_image(text, options.image)
        docker = containers.container_settings(
            run.home,
            out,
            run.arguments,
            run_id=run_id,
            digest=digest,
            environment=_run_variables(run_id) | _variables_of_steps(run.arguments),
            network=options.network,
            gpus=options.gpus,
        )
    settings = {"docker": docker, "out": str(out), "workspace": str(workspace)}
    files.write_text(folder / "pipeline.yaml", text)
    files.write_json(folder / "arguments.json", dict(run.arguments))
    files.write_json(folder / "how.json", settings)
    record = Record(
        run_id=run_id,
        pipeline=run.pipeline,
        runner=run.containers.image if run.containers else "subprocess",
        out=str(out),
        started=started,
        pid=os.getpid(),
    )
    return run_records.save(run.home, record), folder / "log.txt"


def _run_variables(run_id: str) -> dict[str, str]:
    """Variables that mark the MLflow runs of all steps; this process delivers them to MLflow."""
    tracking = tracking_mode(environment.TRACKING.get(), "later")
    names = (environment.CAMPAIGN.name, environment.KFP_RUN_ID.name)
    return dict.fromkeys(names, run_id) | {environment.TRACKING.name: tracking}


def _variables_of_steps(arguments: Mapping[str, Any]) -> dict[str, str]:
    """The folder for prepared stores, and what steps need that download the authors' weights."""
    stores = environment.STORES.get()
    shared = {environment.STORES.name: str(stores.absolute())} if stores else {}
    if not is_released(arguments):
        return shared
    accepted, own = environment.ACCEPT_LICENCE.get(), environment.SOURCES.get()
    made = shared | {environment.ACCEPT_LICENCE.name: ",".join(sorted(accepted))}
    return made | ({environment.SOURCES.name: str(own.absolute())} if own else {})


def _finished_only(progress: Callable[[str], None]) -> Callable[[str], None]:
    """A receiver of log lines that passes on a line for each finished step."""

    def receive(line: str) -> None:
        if ended := StepEnd.from_log(line):
            progress(ended.to_screen())

    return receive


def _execute(run: LocalRun, record: Record, log: Path, receive: Callable[[str], None]) -> int:
    """Run the pipeline in a process group, write its log and end all of its processes.

    Args:
        receive: called with each line of the log.

    Returns:
        The exit status.
    """
    # Unbuffered: the log has the steps' lines in the order in which they were printed.
    changes = _run_variables(record.run_id) | _variables_of_steps(run.arguments)
    changes |= {"PYTHONUNBUFFERED": "1", environment.HOME.name: str(run.home)}
    command = [sys.executable, "-m", "dgunet.kubeflow.local.execute", str(log.parent)]
    process = subprocess.Popen(
        command,
        cwd=run.home,
        env=environment.for_child(changes),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,  # its own process group, which is signalled as a whole
    )
    try:
        with log.open("w", encoding="utf-8") as kept:
            for line in process.stdout or ():
                plain = redact(COLOUR.sub("", line))
                kept.write(plain)
                kept.flush()
                receive(plain.rstrip("\n"))
        return process.wait()
    finally:
        _end_group(process)
        if run.containers:
            containers.remove_containers(containers.docker_engine(), record.run_id)


def _end_group(process: subprocess.Popen[str]) -> None:
    """Send SIGTERM, then SIGKILL, to the process group until it has ended."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
            limit = time.monotonic() + TERMINATION_SECONDS
            while time.monotonic() < limit:
                process.poll()
                os.killpg(process.pid, 0)  # raises when the group is empty
                time.sleep(0.1)
            continue
        break
    process.wait()


@contextmanager
def _delivering(home: Path) -> Iterator[None]:
    """Deliver the steps' journals to MLflow while they run, unless DGUNET_TRACKING is set."""
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


def _cause_of_failure(log: Path) -> str:
    """The first failed step with what it worked on and its cause, and the number of others.

    Without one, the runner itself failed; its last line is the cause.
    """
    lines = [line.strip() for line in run_records.log_lines(log) if line.strip()]
    ends = [end for end in map(StepEnd.from_log, lines) if end and end.state == FAILURE]
    if not ends:
        return lines[-1].rstrip(".") if lines else "the log is empty"
    more = len(ends) - 1
    others = f"; {more} further step{'s' if more > 1 else ''} failed" if more else ""
    return ends[0].to_sentence() + others


def _check_scratch() -> None:
    """Refuse to start if the temporary folder has no space for the steps' programs."""
    folder = environment.TEMPORARY.get()
    try:
        with tempfile.TemporaryFile(dir=folder) as handle:
            handle.write(bytes(SCRATCH_BYTES))
            handle.flush()
    except OSError as error:
        raise DgunetError(
            f"the temporary folder {folder} has no space for {SCRATCH_BYTES >> 20} MiB"
            f" ({error.strerror or error}).",
            "Free some space, or set TMPDIR to another folder.",
        ) from error
