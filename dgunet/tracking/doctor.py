"""Finds dead runs, incomplete models and other problems, and repairs the first two kinds."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psutil  # type: ignore[import-untyped]

from dgunet.tracking import index
from dgunet.tracking.delivery.answers import check_is_mlflow
from dgunet.tracking.delivery.replay import deliver
from dgunet.tracking.home import TrackingFolders
from dgunet.tracking.journal.damage import set_aside_journals
from dgunet.tracking.journal.reading import readable_journals, scan_journals
from dgunet.tracking.provenance import PROCESS
from dgunet.tracking.server import mlflow_store

HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Problem:
    """One problem.

    Attributes:
        what: the run, model or journal.
        why: what is wrong with it.
        run_id: MLflow run to end as KILLED; "" for other problems.
        model_id: MLflow model to mark as failed; "" for other problems.
        died: time of the run's last metric, in milliseconds since 1970.
        journal: whether a journal of this project has the run, so that a delivery ends it.
    """

    what: str
    why: str
    run_id: str = ""
    model_id: str = ""
    died: int = 0
    journal: bool = False


@dataclass
class Diagnosis:
    """The problems of a project and its MLflow store."""

    problems: list[Problem] = field(default_factory=list)
    away: str | None = None
    """Why the MLflow store could not be examined; None if it was."""


def examine(folders: TrackingFolders, *, silent_hours: float = 24) -> Diagnosis:
    """Find problems in the journals and in MLflow; changes nothing.

    A run of this machine is dead if its process is gone. A run of another machine counts as dead
    after ``silent_hours`` without metrics.

    Raises:
        TrackingError: if the SQLite store is damaged.
    """
    diagnosis = Diagnosis(list(_local_problems(folders)))
    if not mlflow_store.has_store(folders):
        return diagnosis
    try:
        mlflow_store.ask(folders.uri)
        with mlflow_store.quiet_mlflow():
            client = mlflow_store.client(folders.uri)
            check_is_mlflow(client, folders.uri)
            experiments = [found.experiment_id for found in client.search_experiments()]
            diagnosis.problems += _dead_runs(client, folders, experiments, silent_hours)
            diagnosis.problems += _incomplete_models(client, folders, experiments)
    except mlflow_store.TrackingError:
        raise
    except Exception as error:  # any error of MLflow or the network
        diagnosis.away = mlflow_store.short_reason(error)
    return diagnosis


def _local_problems(folders: TrackingFolders) -> Iterator[Problem]:
    """The problems in the journals and the index of this project."""
    found = scan_journals(folders.journals)
    for reader in found.whole:
        if not reader.is_live() and not reader.ended():
            why = "its process died before its end was recorded"
            yield Problem(f"run {reader.header['name']!r}", why, journal=True)
    for one in found.damaged:
        why = one.why + (f" ({one.stays})" if one.stays else "")
        yield Problem(f"journal {one.path.name}", f"it is damaged: {why}")
    for path, why in set_aside_journals(folders):
        yield Problem(f"journal {path.name}", f"{why}; kept in {path}")
    if folders.refused.is_dir():
        for folder in sorted(folders.refused.iterdir()):
            why = f"MLflow rejected some of its entries; see {folder}"
            yield Problem(f"journal {folder.name}", why)
    for number, why in index.damaged_lines(folders):
        if number:
            fix = "its run is in MLflow, so delete the line"
            yield Problem(f"line {number} of {folders.index}", f"{why}; {fix}")
        else:
            fix = "its runs are in MLflow, so move it away"
            yield Problem(str(folders.index), f"{why}; {fix}")


def repair(folders: TrackingFolders, diagnosis: Diagnosis) -> list[Problem]:
    """End dead runs as KILLED, mark incomplete models as failed, and return unsolved problems."""
    delivered = (
        deliver(folders, persist=True) if any(f.journal for f in diagnosis.problems) else None
    )
    unsolved = []
    for problem in diagnosis.problems:
        if problem.journal and delivered and delivered.waits is None:
            continue
        if diagnosis.away or not (problem.run_id or problem.model_id):
            unsolved.append(problem)
            continue
        with mlflow_store.answering(folders):
            _close(mlflow_store.client(folders.uri), problem)
    return unsolved


def _close(client: Any, problem: Problem) -> None:
    if problem.run_id:
        client.set_tag(problem.run_id, "error", f"ended by dgunet tracking doctor: {problem.why}")
        client.set_terminated(problem.run_id, "KILLED", problem.died)
        return
    from mlflow.entities import LoggedModelStatus

    client.finalize_logged_model(problem.model_id, LoggedModelStatus.FAILED)


def _dead_runs(
    client: Any, folders: TrackingFolders, experiments: list[str], silent_hours: float
) -> Iterator[Problem]:
    here = {reader.id for reader in readable_journals(folders.journals)}
    for run in _pages(client.search_runs, experiments, "attributes.status = 'RUNNING'"):
        tags = run.data.tags
        if tags.get("dgunet.journal", "") in ("", *here):
            continue  # not a run of dgunet, or its journal is here
        last = _last_metric(client, run)
        host, _, pid = tags.get(PROCESS, "").rpartition(" ")
        if host == socket.gethostname() and pid.isdecimal():
            if _is_running(int(pid), run.info.start_time):
                continue
            why = f"its process {pid} on this machine is gone"
        else:
            hours = (time.time() * 1000 - last) / HOUR_MS
            if hours < silent_hours:
                continue
            why = f"no metrics from {host or 'its machine'} for {hours:.0f} hours"
        yield Problem(f"run {run.info.run_name!r}", why, run_id=run.info.run_id, died=last)


def _incomplete_models(
    client: Any, folders: TrackingFolders, experiments: list[str]
) -> Iterator[Problem]:
    from mlflow.entities import LoggedModelStatus

    here = {reader.id for reader in readable_journals(folders.journals)}
    for model in _pages(client.search_logged_models, experiments):
        journal = model.tags.get("dgunet.event", "").partition(":")[0]
        if model.status == LoggedModelStatus.PENDING and journal and journal not in here:
            why = "its weights never arrived, and no journal of this project has them"
            yield Problem(f"model {model.name!r}", why, model_id=model.model_id)


def _pages(search: Any, experiments: list[str], *arguments: str) -> Iterator[Any]:
    page = search(experiments, *arguments)
    yield from page
    while page.token:
        page = search(experiments, *arguments, page_token=page.token)
        yield from page


def _last_metric(client: Any, run: Any) -> int:
    times = [
        point.timestamp
        for key in run.data.metrics
        for point in client.get_metric_history(run.info.run_id, key)[-1:]
    ]
    return int(max(times, default=run.info.start_time))


def _is_running(pid: int, started_ms: int) -> bool:
    """Whether the process is running, and is not a later one with the same id."""
    try:
        return bool(psutil.Process(pid).create_time() * 1000 <= started_ms)
    except (psutil.Error, OverflowError):
        return False
