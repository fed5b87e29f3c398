"""From the hash of a result to the run that made it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING, asdict, dataclass, field, fields
from itertools import count
from pathlib import Path
from typing import Any

from filelock import FileLock

from dgunet.system import files, line_files
from dgunet.system.errors import DgunetError
from dgunet.terms import DATA_TAG
from dgunet.tracking.delivery.answers import check_speaks
from dgunet.tracking.home import Layout, sqlite_path
from dgunet.tracking.journal.damage import Damaged, name_once
from dgunet.tracking.journal.reading import JournalReader, look_at
from dgunet.tracking.provenance import UNKNOWN
from dgunet.tracking.server import mlflow_store

RESULT_KEYS = ("checkpoint", "per_image", "dataset", "table", "report")
"""What ``Run.set_result`` may name; each is a tag ``result.<key>`` in MLflow."""


@dataclass(frozen=True)
class RunInfo:
    """What is known of one run: where it is, where it came from and what it made."""

    journal: str
    run_id: str | None
    """None while MLflow does not have the run."""
    experiment_id: str | None
    experiment: str
    name: str
    status: str
    stage: str
    profile: str
    campaign: str
    commit: str
    dirty: str
    data_digest: str
    tracking_uri: str
    results: dict[str, str] = field(default_factory=dict)
    """SHA-256 by result key."""
    tags: dict[str, str] = field(default_factory=dict)
    """All others but MLflow's own."""
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    """The last value of each, the machine's load left out."""

    def facts(self) -> dict[str, Any]:
        """Everything that can be shown or compared, by the names that MLflow's UI has."""
        return (
            {
                "name": self.name,
                "status": self.status,
                "experiment": self.experiment,
            }
            | self.tags
            | self.params
            | self.metrics
        )


def describe(
    reader: JournalReader, uri: str, run_id: str | None, experiment_id: str | None
) -> RunInfo:
    """The `RunInfo` of a journal, from its header and its events."""
    tags = dict(reader.header["tags"])
    status = "RUNNING"
    told: dict[str, dict[str, Any]] = {"result": {}, "params": {}, "metrics": {}, "tags": tags}
    for event in reader.events():
        if event["kind"] in told:
            told[event["kind"]] |= event["values"]
        elif event["kind"] == "end":
            status = event["status"]
            tags |= {"error": event["error"]} if event.get("error") else {}
    return RunInfo(
        journal=reader.id,
        run_id=run_id,
        experiment_id=experiment_id,
        experiment=reader.header["experiment"],
        name=reader.header["name"],
        status=status,
        stage=tags.get("stage", ""),
        profile=tags.get("profile", UNKNOWN),
        campaign=tags.get("campaign", ""),
        commit=tags.get("git.commit", UNKNOWN),
        dirty=tags.get("git.dirty", UNKNOWN),
        data_digest=tags.get(DATA_TAG, UNKNOWN),
        tracking_uri=uri,
        results=told["result"],
        tags=_own(tags),
        params=told["params"],
        metrics=_shown(told["metrics"]),
    )


def _own(tags: dict[str, str]) -> dict[str, str]:
    apart = ("mlflow.", "result.", "dgunet.")
    return {key: value for key, value in tags.items() if not key.startswith(apart)}


def _shown(metrics: dict[str, float]) -> dict[str, float]:
    return {key: value for key, value in metrics.items() if not key.startswith("system/")}


def record(layout: Layout, info: RunInfo) -> None:
    """Add a delivered run to the index; a second line for a journal replaces the first.

    It is on the disk when this returns.
    """
    with files.writing(layout.index):
        files.make_folder(layout.index.parent)
        with (
            FileLock(layout.index.with_suffix(".lock")),
            line_files.open_log(layout.index) as handle,
        ):
            line_files.append_line(handle, asdict(info))


def delivered(layout: Layout) -> list[RunInfo]:
    """The runs that MLflow has, in the order they were delivered; damaged lines are left out."""
    infos, _ = _read_index(layout)
    return list({info.journal: info for info in infos}.values())


def damaged_lines(layout: Layout) -> list[tuple[int, str]]:
    """Number (from 1) and reason of each line of the index that cannot be used."""
    return _read_index(layout)[1]


def _read_index(layout: Layout) -> tuple[list[RunInfo], list[tuple[int, str]]]:
    try:
        told = line_files.read_lines(layout.index, unchecked=True)
    except DgunetError as error:
        return [], [(0, str(error))]
    infos, damaged = [], list(told.damaged)
    skipped = {number for number, _ in damaged}
    numbers = (number for number in count(1) if number not in skipped)
    for number, entry in zip(numbers, told.entries, strict=False):
        if why := _unfit(entry):
            damaged.append((number, why))
        else:
            infos.append(RunInfo(**entry))
    return infos, sorted(damaged)


def _unfit(entry: dict[str, Any]) -> str | None:
    """Why a line's entry is no `RunInfo`; None if it is one."""
    known = {one.name: one for one in fields(RunInfo)}
    if unknown := sorted(set(entry) - set(known)):
        return f"the field {unknown[0]!r} is unknown"
    for name, one in known.items():
        if name not in entry:
            if one.default_factory is MISSING:
                return f"the field {name!r} is missing"
            continue
        if not _fits(str(one.type), entry[name]):
            return f"the field {name!r} is of the wrong type"
    return None


def _fits(kind: str, value: Any) -> bool:
    if kind.startswith("dict"):
        wanted: Any = (int, float) if "float" in kind else str
        return isinstance(value, dict) and all(isinstance(one, wanted) for one in value.values())
    return isinstance(value, str) or (value is None and "None" in kind)


def pending(layout: Layout) -> list[RunInfo]:
    """The runs that MLflow does not have completely, oldest first; damaged ones are named."""
    found = look_at(layout.journals)
    name_once(found.damaged)
    told = []
    for reader in found.whole:
        try:
            cursor = reader.cursor()
            uri = str(layout.uri)
            told.append(describe(reader, uri, cursor.run_id, cursor.experiment_id))
        except (Damaged, FileNotFoundError):  # it changed since it was looked at
            continue
    return told


def run_id_of(layout: Layout, journal: str) -> str | None:
    """MLflow's id of the run that ``journal`` told; None while MLflow does not have it."""
    ids = {info.journal: info.run_id for info in [*delivered(layout), *pending(layout)]}
    return ids.get(journal)


def in_mlflow(layout: Layout) -> list[RunInfo]:
    """All runs of this project's kind that the store has, oldest first.

    Raises:
        TrackingError: if the store does not answer.
    """
    with mlflow_store.answering(layout, "Leave --server out: the local index needs no server."):
        mlflow_store.ask(layout.uri)
        client = mlflow_store.client(mlflow_store.ensure_store(layout))
        try:
            check_speaks(client, layout.uri)
        except mlflow_store.Away as error:
            raise mlflow_store.TrackingError(str(error)) from error
        experiments = {e.experiment_id: e.name for e in client.search_experiments()}
        found: list[Any] = []
        token = None
        while token or not found:
            page = client.search_runs(
                list(experiments), "tags.`dgunet.journal` LIKE '%'", page_token=token
            )
            found += page
            if not (token := page.token):
                break
    found.sort(key=lambda run: run.info.start_time)
    uri = str(layout.uri)
    return [from_mlflow(run, experiments[run.info.experiment_id], uri) for run in found]


def lookup(sha256: str, home: Path | None = None) -> RunInfo | None:
    """The latest run whose ``set_result`` named ``sha256``.

    Looks in the index, then among runs not delivered yet, then asks MLflow by tag (a clone
    whose ``.dgunet`` is gone, a run made elsewhere). None if no run is known, or the store does
    not answer.
    """
    layout = Layout.at(home)
    return (
        _latest(pending(layout), sha256)
        or _latest(delivered(layout), sha256)
        or _search(layout, sha256)
    )


def _latest(infos: Iterable[RunInfo], sha256: str) -> RunInfo | None:
    found = [info for info in infos if sha256 in info.results.values()]
    return found[-1] if found else None


def _search(layout: Layout, sha256: str) -> RunInfo | None:
    if not sha256.isalnum():
        raise ValueError(f"{sha256!r} is not a hexadecimal digest.")
    database = sqlite_path(layout.uri)
    if (database and not database.exists()) or mlflow_store.BackOff(layout).reason():
        return None
    try:
        with mlflow_store.answering(layout):
            mlflow_store.ask(layout.uri)
            client = mlflow_store.client(layout.uri)
            experiments = {e.experiment_id: e.name for e in client.search_experiments()}
            for key in RESULT_KEYS:
                wanted = f"tags.`result.{key}` = '{sha256}'"
                if runs := client.search_runs(list(experiments), wanted, max_results=1):
                    name = experiments[runs[0].info.experiment_id]
                    return from_mlflow(runs[0], name, str(layout.uri))
    except (mlflow_store.TrackingError, OSError):
        return None
    return None


def from_mlflow(run: Any, experiment: str, uri: str) -> RunInfo:
    """The `RunInfo` of a run as MLflow tells it."""
    tags = run.data.tags
    prefix = "result."
    return RunInfo(
        journal=tags.get("dgunet.journal", ""),
        run_id=run.info.run_id,
        experiment_id=run.info.experiment_id,
        experiment=experiment,
        name=run.info.run_name,
        status=run.info.status,
        stage=tags.get("stage", ""),
        profile=tags.get("profile", UNKNOWN),
        campaign=tags.get("campaign", ""),
        commit=tags.get("git.commit", UNKNOWN),
        dirty=tags.get("git.dirty", UNKNOWN),
        data_digest=tags.get(DATA_TAG, UNKNOWN),
        tracking_uri=uri,
        results={k.removeprefix(prefix): v for k, v in tags.items() if k.startswith(prefix)},
        tags=_own(tags),
        params=dict(run.data.params),
        metrics=_shown(run.data.metrics),
    )
