"""Finds what runs left behind: runs whose process is gone, half-made models, refused entries."""

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
from dgunet.tracking.server import mlflow_store

HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    Attributes:
        what: the run or model, as a person knows it.
        why: how that is known.
        run_id: the run in MLflow to end as KILLED, if it is one.
        model_id: the model in MLflow to mark as failed, if it is one.
        died: when the last sign of life came, in milliseconds since 1970.
        journal: whether the journal here tells it, so that delivering it mends it.
    """

    what: str
    why: str
    run_id: str = ""
    model_id: str = ""
    died: int = 0
    journal: bool = False

    @property
    def mendable(self) -> bool:
        """Whether `repair` can do something about it."""
        return bool(self.run_id or self.model_id or self.journal)


@dataclass
class Diagnosis:
    """What was found, and who could not be asked."""

    findings: list[Finding] = field(default_factory=list)
    away: str | None = None
    """Why MLflow could not be asked."""


def examine(folders: TrackingFolders, *, silent_hours: float = 24) -> Diagnosis:
    """Look for orphans in the journal and in MLflow; changes nothing.

    A run on this machine is an orphan when its process is gone. Of another machine only silence
    tells: a run there is one after ``silent_hours`` without a number.

    Raises:
        TrackingError: if the sqlite store is spoilt.
    """
    told = Diagnosis(list(_here(folders)))
    try:
        mlflow_store.ask(folders.uri)
        with mlflow_store.quiet_mlflow():
            client = mlflow_store.client(mlflow_store.ensure_store(folders))
            check_is_mlflow(client, folders.uri)
            experiments = [found.experiment_id for found in client.search_experiments()]
            told.findings += _orphans(client, folders, experiments, silent_hours)
            told.findings += _half_made(client, folders, experiments)
    except mlflow_store.TrackingError:
        raise
    except Exception as error:  # whatever MLflow or the network throws
        told.away = (
            str(error)
            if isinstance(error, mlflow_store.StoreUnavailable)
            else mlflow_store.one_line(error)
        )
    return told


def _here(folders: TrackingFolders) -> Iterator[Finding]:
    """What the files of this project tell by themselves."""
    found = scan_journals(folders.journals)
    for reader in found.whole:
        if not reader.lives() and not reader.ended():
            why = "its process died without a word; the journal knows it"
            yield Finding(f"run {reader.header['name']!r}", why, journal=True)
    for one in found.damaged:
        why = one.why + (f" ({one.stays})" if one.stays else "")
        yield Finding(f"journal {one.path.name}", f"it is damaged: {why}")
    for place, why in set_aside_journals(folders):
        yield Finding(f"journal {place.name}", f"{why}; kept in {place}")
    if folders.refused.is_dir():
        for folder in sorted(folders.refused.iterdir()):
            why = f"MLflow took some of its entries as wrong; read {folder}"
            yield Finding(f"journal {folder.name}", why)
    for number, why in index.damaged_lines(folders):
        what = f"line {number} of {folders.index}" if number else str(folders.index)
        yield Finding(what, f"{why}; its run is in MLflow, so remove the line")


def repair(folders: TrackingFolders, told: Diagnosis) -> list[Finding]:
    """End orphans as KILLED, half-made models as failed; returns what is left to a person."""
    delivered = deliver(folders, persist=True) if any(f.journal for f in told.findings) else None
    left = []
    for finding in told.findings:
        if finding.journal and delivered and delivered.waits is None:
            continue
        if told.away or not (finding.run_id or finding.model_id):
            left.append(finding)
            continue
        with mlflow_store.answering(folders):
            _close(mlflow_store.client(folders.uri), finding)
    return left


def _close(client: Any, finding: Finding) -> None:
    if finding.run_id:
        client.set_tag(finding.run_id, "error", f"ended by dgunet tracking doctor: {finding.why}")
        client.set_terminated(finding.run_id, "KILLED", finding.died)
        return
    from mlflow.entities import LoggedModelStatus

    client.finalize_logged_model(finding.model_id, LoggedModelStatus.FAILED)


def _orphans(
    client: Any, folders: TrackingFolders, experiments: list[str], silent_hours: float
) -> Iterator[Finding]:
    here = {reader.id for reader in readable_journals(folders.journals)}
    for run in _pages(client.search_runs, experiments, "attributes.status = 'RUNNING'"):
        tags = run.data.tags
        if tags.get("dgunet.journal", "") in ("", *here):
            continue  # not ours, or known better by its journal
        heard = _last_heard(client, run)
        if (host := tags.get("host")) == socket.gethostname() and tags.get("pid", "").isdecimal():
            if _process_lives(int(tags["pid"]), run.info.start_time):
                continue
            why = f"its process {tags['pid']} on this machine is gone"
        else:
            hours = (time.time() * 1000 - heard) / HOUR_MS
            if hours < silent_hours:
                continue
            why = f"nothing came from {host or 'its machine'} for {hours:.0f} hours"
        yield Finding(f"run {run.info.run_name!r}", why, run_id=run.info.run_id, died=heard)


def _half_made(client: Any, folders: TrackingFolders, experiments: list[str]) -> Iterator[Finding]:
    from mlflow.entities import LoggedModelStatus

    here = {reader.id for reader in readable_journals(folders.journals)}
    for model in _pages(client.search_logged_models, experiments):
        journal = model.tags.get("dgunet.event", "").partition(":")[0]
        if model.status == LoggedModelStatus.PENDING and journal and journal not in here:
            why = "its weights never arrived, and no journal here holds them"
            yield Finding(f"model {model.name!r}", why, model_id=model.model_id)


def _pages(search: Any, experiments: list[str], *arguments: str) -> Iterator[Any]:
    page = search(experiments, *arguments)
    yield from page
    while page.token:
        page = search(experiments, *arguments, page_token=page.token)
        yield from page


def _last_heard(client: Any, run: Any) -> int:
    times = [
        point.timestamp
        for key in run.data.metrics
        for point in client.get_metric_history(run.info.run_id, key)[-1:]
    ]
    return int(max(times, default=run.info.start_time))


def _process_lives(pid: int, started_ms: int) -> bool:
    """Whether the process is there and not a later one with the same number."""
    try:
        return bool(psutil.Process(pid).create_time() * 1000 <= started_ms)
    except (psutil.Error, OverflowError):
        return False
