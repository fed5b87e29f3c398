"""The index of runs, for finding the run that produced a result by the result's hash."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING, asdict, dataclass, field, fields
from itertools import count
from pathlib import Path
from typing import Any, get_type_hints

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from dgunet.system import files, line_files
from dgunet.system.errors import DgunetError
from dgunet.terms import DATA_TAG
from dgunet.tracking.delivery.answers import check_is_mlflow
from dgunet.tracking.home import TrackingFolders, sqlite_path
from dgunet.tracking.journal.damage import Damaged, warn_once
from dgunet.tracking.journal.reading import JournalReader, scan_journals
from dgunet.tracking.provenance import UNKNOWN
from dgunet.tracking.server import mlflow_store

RESULT_KEYS = ("checkpoint", "per_image", "dataset", "table", "report")
"""Keys of ``Run.set_result``; each is a tag ``result.<key>`` in MLflow."""


@dataclass(frozen=True)
class RunInfo:
    """Facts about one run: where it is stored, what it was made from and what it produced."""

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
    dirty: bool | None
    """Whether tracked files differed from the commit; None if unknown."""
    data_digest: str
    tracking_uri: str
    results: dict[str, str] = field(default_factory=dict)
    """SHA-256 by result key."""
    tags: dict[str, str] = field(default_factory=dict)
    """All tags except ``result.*``, ``mlflow.*`` and ``dgunet.*``."""
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    """The last value of each metric except system metrics."""

    def facts(self) -> dict[str, Any]:
        """All values that can be shown or compared, under the names in MLflow's UI."""
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


def _line_model() -> type[BaseModel]:
    """A model of one line of the index: the fields of `RunInfo` with strict types."""
    types = get_type_hints(RunInfo)
    columns: dict[str, Any] = {
        one.name: (types[one.name], ... if one.default_factory is MISSING else None)
        for one in fields(RunInfo)
    }
    strict = ConfigDict(strict=True, extra="forbid")
    return create_model("IndexLine", __config__=strict, **columns)


_LINE = _line_model()
_REASONS = {"extra_forbidden": "unknown", "missing": "missing"}
"""Wording of pydantic's error types; all others are reported as wrong types."""


def dirty_from_tag(text: str) -> bool | None:
    """The value of the tag ``git.dirty``, which is ``true``, ``false`` or ``unknown``."""
    return {"true": True, "false": False}.get(text.lower())


def dirty_to_tag(dirty: bool | None) -> str:
    """The inverse of `dirty_from_tag`."""
    return UNKNOWN if dirty is None else str(dirty).lower()


def describe_journal(
    reader: JournalReader, uri: str, run_id: str | None, experiment_id: str | None
) -> RunInfo:
    """The `RunInfo` of a journal, from its header and the last values in its events."""
    tags = dict(reader.header["tags"])
    status = "RUNNING"
    totals: dict[str, dict[str, Any]] = {"result": {}, "params": {}, "metrics": {}, "tags": tags}
    for event in reader.events():
        if event["kind"] in totals:
            totals[event["kind"]] |= event["values"]
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
        dirty=dirty_from_tag(tags.get("git.dirty", UNKNOWN)),
        data_digest=tags.get(DATA_TAG, UNKNOWN),
        tracking_uri=uri,
        results=totals["result"],
        tags=_own(tags),
        params=totals["params"],
        metrics=_shown(totals["metrics"]),
    )


def _own(tags: dict[str, str]) -> dict[str, str]:
    apart = ("mlflow.", "result.", "dgunet.")
    return {key: value for key, value in tags.items() if not key.startswith(apart)}


def _shown(metrics: dict[str, float]) -> dict[str, float]:
    return {key: value for key, value in metrics.items() if not key.startswith("system/")}


def add_delivered_run(folders: TrackingFolders, info: RunInfo) -> None:
    """Add a delivered run to the index and flush it to the disk.

    A later line of the same journal takes precedence over an earlier one.
    """
    with files.writing(folders.index):
        files.make_folder(folders.index.parent)
        with (
            FileLock(folders.index.with_suffix(".lock")),
            line_files.open_log(folders.index) as handle,
        ):
            line_files.append_line(handle, asdict(info) | {"dirty": dirty_to_tag(info.dirty)})


def delivered(folders: TrackingFolders) -> list[RunInfo]:
    """The delivered runs in order of delivery; damaged lines are skipped."""
    infos, _ = _read_index(folders)
    return list({info.journal: info for info in infos}.values())


def damaged_lines(folders: TrackingFolders) -> list[tuple[int, str]]:
    """Number (from 1; 0 for the whole file) and reason of each line that cannot be used."""
    return _read_index(folders)[1]


def _read_index(folders: TrackingFolders) -> tuple[list[RunInfo], list[tuple[int, str]]]:
    try:
        content = line_files.read_lines(folders.index, unchecked=True)
    except DgunetError as error:
        return [], [(0, str(error))]
    infos, damaged = [], list(content.damaged)
    skipped = {number for number, _ in damaged}
    numbers = (number for number in count(1) if number not in skipped)
    for number, entry in zip(numbers, content.entries, strict=False):
        try:
            infos.append(_run_info(entry))
        except ValueError as error:
            damaged.append((number, str(error)))
    return infos, sorted(damaged)


def _run_info(entry: dict[str, Any]) -> RunInfo:
    """The `RunInfo` of one line of the index.

    Raises:
        ValueError: naming the field that is unknown, missing or of the wrong type.
    """
    dirty = entry.get("dirty")
    if "dirty" in entry and not isinstance(dirty, str):
        raise ValueError("the field 'dirty' is of the wrong type")
    if isinstance(dirty, str):
        entry = entry | {"dirty": dirty_from_tag(dirty)}
    try:
        _LINE.model_validate(entry)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        reason = _REASONS.get(first["type"], "of the wrong type")
        raise ValueError(f"the field {str(first['loc'][0])!r} is {reason}") from None
    return RunInfo(**entry)


def pending(folders: TrackingFolders) -> list[RunInfo]:
    """The runs that are not fully delivered, oldest first; damaged journals are logged."""
    found = scan_journals(folders.journals)
    warn_once(found.damaged)
    infos = []
    for reader in found.whole:
        try:
            cursor = reader.cursor()
            uri = str(folders.uri)
            infos.append(describe_journal(reader, uri, cursor.run_id, cursor.experiment_id))
        except (Damaged, FileNotFoundError):  # it changed since it was scanned
            continue
    return infos


def run_id_of(folders: TrackingFolders, journal: str) -> str | None:
    """MLflow's id of the run of ``journal``; None while MLflow does not have it."""
    ids = {info.journal: info.run_id for info in [*delivered(folders), *pending(folders)]}
    return ids.get(journal)


def in_mlflow(folders: TrackingFolders) -> list[RunInfo]:
    """All runs of dgunet in the MLflow store, oldest first.

    Raises:
        TrackingError: if the store does not answer.
    """
    if not mlflow_store.has_store(folders):
        return []
    with mlflow_store.answering(folders, "Without --server, the local index is read."):
        mlflow_store.ask(folders.uri)
        client = mlflow_store.client(folders.uri)
        try:
            check_is_mlflow(client, folders.uri)
        except mlflow_store.StoreUnavailable as error:
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
    uri = str(folders.uri)
    return [from_mlflow(run, experiments[run.info.experiment_id], uri) for run in found]


def lookup(sha256: str, home: Path | None = None) -> RunInfo | None:
    """The latest run whose ``set_result`` recorded ``sha256``.

    Searches the waiting runs, then the index, and finally MLflow by tag, which also finds runs of
    other machines and clones. None if no run is known or the store does not answer.

    Raises:
        ValueError: if ``sha256`` is not a hexadecimal digest and no local run has it.
    """
    folders = TrackingFolders.at(home)
    return (
        _latest(pending(folders), sha256)
        or _latest(delivered(folders), sha256)
        or _search(folders, sha256)
    )


def _latest(infos: Iterable[RunInfo], sha256: str) -> RunInfo | None:
    found = [info for info in infos if sha256 in info.results.values()]
    return found[-1] if found else None


def _search(folders: TrackingFolders, sha256: str) -> RunInfo | None:
    if not sha256.isalnum():
        raise ValueError(f"{sha256!r} is not a hexadecimal digest.")
    database = sqlite_path(folders.uri)
    if (database and not database.exists()) or mlflow_store.BackOff(folders).reason():
        return None
    try:
        with mlflow_store.answering(folders):
            mlflow_store.ask(folders.uri)
            client = mlflow_store.client(folders.uri)
            experiments = {e.experiment_id: e.name for e in client.search_experiments()}
            for key in RESULT_KEYS:
                wanted = f"tags.`result.{key}` = '{sha256}'"
                if runs := client.search_runs(list(experiments), wanted, max_results=1):
                    name = experiments[runs[0].info.experiment_id]
                    return from_mlflow(runs[0], name, str(folders.uri))
    except (mlflow_store.TrackingError, OSError):
        return None
    return None


def from_mlflow(run: Any, experiment: str, uri: str) -> RunInfo:
    """The `RunInfo` of a run as MLflow's client returns it."""
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
        dirty=dirty_from_tag(tags.get("git.dirty", UNKNOWN)),
        data_digest=tags.get(DATA_TAG, UNKNOWN),
        tracking_uri=uri,
        results={k.removeprefix(prefix): v for k, v in tags.items() if k.startswith(prefix)},
        tags=_own(tags),
        params=dict(run.data.params),
        metrics=_shown(run.data.metrics),
    )
