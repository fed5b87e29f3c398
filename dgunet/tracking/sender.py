"""Sends one journal to MLflow, from its cursor to its end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from itertools import islice
from typing import Any

from dgunet import files
from dgunet.tracking import index, store
from dgunet.tracking.home import Layout
from dgunet.tracking.journal import Cursor, Event, JournalReader
from dgunet.tracking.models import find_model, log_model

BATCHED = ("metrics", "params", "tags", "result")
"""Kinds of events that travel together in one request."""

BATCH = 200
"""Events in one request at most."""

COMPARED = ("train", "evaluate", "ablate")
"""Stages whose runs are top-level: MLflow's charts leave out the children of a collapsed run."""

PARENT = "mlflow.parentRunId"

_WRONG = frozenset(
    {
        "BAD_REQUEST",
        "INVALID_PARAMETER_VALUE",
        "INVALID_STATE",
        "NOT_FOUND",
        "RESOURCE_DOES_NOT_EXIST",
        "ENDPOINT_NOT_FOUND",
    }
)
"""MLflow's error codes that the same request would get again; all others are worth a retry."""


def is_wrong(error: Exception) -> bool:
    """Whether MLflow took the request itself as wrong, so that sending it again cannot help."""
    return getattr(error, "error_code", "") in _WRONG


class Sender:
    """Sends one journal."""

    def __init__(self, client: Any, layout: Layout, reader: JournalReader) -> None:
        self.client = client
        self.layout = layout
        self.reader = reader
        self.cursor: Cursor = reader.cursor()
        self.header = reader.header
        self._models: dict[str, str | None] = {}

    @property
    def run_id(self) -> str:
        """The run in MLflow; it was made or adopted before anything is sent."""
        assert self.cursor.run_id is not None
        return self.cursor.run_id

    def send(self) -> bool:
        """Send what is not sent; True when the run ended and all of it is delivered."""
        self._open_run()
        events = self.reader.events()
        for batch in _batches(events[self.cursor.sent :]):
            self._send_or_refuse(batch)
            self.cursor.sent += len(batch)
            self.reader.save(self.cursor)
        if not events or events[-1]["kind"] != "end":
            return False
        info = index.describe(
            self.reader, str(self.layout.uri), self.cursor.run_id, self.cursor.experiment_id
        )
        index.record(self.layout, info)
        if self.cursor.refused:
            self.layout.refused.mkdir(exist_ok=True)
            self.reader.folder.rename(self.layout.refused / self.reader.id)
        else:
            shutil.rmtree(self.reader.folder)
        return True

    def _open_run(self) -> None:
        """Go on in the run that is given, or that an earlier journal made; else make one."""
        if self.cursor.run_id and self.cursor.experiment_id:
            return
        given = None if self.cursor.attempted else self.cursor.run_id or self._earlier_run()
        if given is None or not self._take_over(given):
            self._make_run({"adopted.missing": given} if given else {})
        self.reader.save(self.cursor)

    def _earlier_run(self) -> str | None:
        earlier = self.header.get("continues")
        return index.run_id_of(self.layout, earlier) if earlier else None

    def _take_over(self, run_id: str) -> bool:
        """Let a run that is there be this one, whatever it was called; False if it is gone.

        It may have failed before, when a step of a pipeline or a training is tried again.
        """
        try:
            found = self.client.get_run(run_id)
        except Exception as error:
            if not is_wrong(error):
                raise
            return False
        if found.info.lifecycle_stage == "deleted":
            return False
        self.cursor.run_id, self.cursor.experiment_id = run_id, found.info.experiment_id
        tags = {"dgunet.journal": self.reader.id} | self.header["tags"]
        old = ["error"]
        if found.info.run_name != self.header["name"]:
            tags["adopted.name"] = found.info.run_name
        if self.header["tags"].get("stage") in COMPARED and PARENT in found.data.tags:
            tags["adopted.parent"] = found.data.tags[PARENT]
            old.append(PARENT)
        self._log_batch([{"kind": "tags", "time": 0, "values": tags}])
        self.client.update_run(run_id, "RUNNING", self.header["name"])
        for tag in old:
            if tag in found.data.tags:
                self.client.delete_tag(run_id, tag)
        return True

    def _make_run(self, tags: dict[str, str]) -> None:
        self.cursor.run_id = None
        self.cursor.experiment_id = self._experiment()
        found = self._made_before() if self.cursor.attempted else None
        if found is None:
            self.cursor.attempted = True
            self.reader.save(self.cursor)
            found = self.client.create_run(
                self.cursor.experiment_id,
                start_time=self.header["start"],
                tags={"dgunet.journal": self.reader.id} | self.header["tags"] | tags,
                run_name=self.header["name"],
            ).info.run_id
        self.cursor.run_id = found

    def _experiment(self) -> str:
        name = self.header["experiment"]
        known = self.client.get_experiment_by_name(name)
        if known is not None and known.lifecycle_stage == "deleted":
            raise store.TrackingError(
                f"the MLflow experiment {name!r} is deleted.",
                f"Restore it: mlflow experiments restore --experiment-id {known.experiment_id}",
            )
        if known is not None:
            return str(known.experiment_id)
        own = self.layout.uri == self.layout.own_uri
        folder = self.layout.artifacts / name.replace("/", "-")
        try:
            made = self.client.create_experiment(name, folder.as_uri() if own else None)
        except Exception as error:
            if getattr(error, "error_code", "") != "RESOURCE_ALREADY_EXISTS":
                raise
            made = self.client.get_experiment_by_name(name).experiment_id
        return str(made)

    def _made_before(self) -> str | None:
        runs = self.client.search_runs(
            [self.cursor.experiment_id], f"tags.`dgunet.journal` = '{self.reader.id}'"
        )
        return str(runs[0].info.run_id) if runs else None

    def _send_or_refuse(self, batch: list[Event]) -> None:
        """Send a batch; if MLflow takes it as wrong, send its events one by one."""
        try:
            self._send(batch)
        except Exception as error:
            if not is_wrong(error):
                raise
            if len(batch) > 1:
                for event in batch:
                    self._send_or_refuse([event])
                return
            self.cursor.refused += 1
            refusal = {"error": store.one_line(error)} | batch[0]
            files.write_json(
                self.reader.folder / f"refused-{self.cursor.refused:04d}.json", refusal
            )

    def _send(self, batch: list[Event]) -> None:
        event = batch[0]
        kind = event["kind"]
        if kind in BATCHED:
            self._log_batch(batch)
        elif kind == "artifact":
            self._log_artifact(event)
        elif kind == "dataset":
            self._log_dataset(event)
        elif kind == "network":
            with store.time_for([self.reader.folder / event["file"]]):
                log_model(self.client, self.reader, self.cursor, event)
        elif kind == "end":
            if event.get("error"):
                self.client.set_tag(self.run_id, "error", event["error"])
            self.client.set_terminated(self.run_id, event["status"], event["time"])

    def _log_batch(self, batch: list[Event]) -> None:
        from mlflow.entities import Metric, Param, RunTag

        metrics = [
            Metric(key, value, event["time"], event["step"], *self._about(event))
            for event in batch
            if event["kind"] == "metrics"
            for key, value in event["values"].items()
        ]
        params: dict[str, str] = {}
        tags: dict[str, str] = {}
        for event in batch:
            if event["kind"] == "params":
                params |= event["values"]
            elif event["kind"] == "tags":
                tags |= event["values"]
            elif event["kind"] == "result":
                tags |= {f"result.{key}": value for key, value in event["values"].items()}
        for part in _chunks(metrics, 900):
            self.client.log_batch(self.run_id, metrics=part)
        for part in _chunks([Param(k, v) for k, v in params.items()], 100):
            self.client.log_batch(self.run_id, params=part)
        for part in _chunks([RunTag(k, v) for k, v in tags.items()], 100):
            self.client.log_batch(self.run_id, tags=part)

    def _about(self, event: Event) -> tuple[str | None, str | None, str | None]:
        """The model and the data set (name, digest) that an event's metrics are about."""
        if "checkpoint" not in event:
            return None, None, None
        return self._scored_model(event["checkpoint"]), *event["dataset"]

    def _scored_model(self, checkpoint: str) -> str | None:
        """The newest model of the store with these weights; it becomes an input of the run."""
        if checkpoint not in self._models:
            model = find_model(self.client, checkpoint)
            if model and model.source_run_id != self.run_id:
                from mlflow.entities import LoggedModelInput

                self.client.log_inputs(self.run_id, models=[LoggedModelInput(model.model_id)])
            self._models[checkpoint] = model.model_id if model else None
        return self._models[checkpoint]

    def _log_artifact(self, event: Event) -> None:
        path = self.reader.folder / event["file"]
        folder = event["folder"]
        if path.is_dir():
            with store.time_for(file for file in path.rglob("*") if file.is_file()):
                self.client.log_artifacts(self.run_id, str(path), _join(folder, path.name))
            return
        with store.time_for([path]):
            self.client.log_artifact(self.run_id, str(path), folder or None)
        if event.get("table"):
            self._announce_table(_join(folder, path.name))

    def _announce_table(self, path: str) -> None:
        """Tell the UI about a table, the way MLflow's own ``log_table`` does."""
        tag = "mlflow.loggedArtifacts"
        known = json.loads(self.client.get_run(self.run_id).data.tags.get(tag, "[]"))
        entry = {"path": path, "type": "table"}
        if entry not in known:
            self.client.set_tag(self.run_id, tag, json.dumps([*known, entry]))

    def _log_dataset(self, event: Event) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(
            event["name"],
            event.get("shown", event["digest"][:36]),
            source_type=event["source_type"],
            source=event["source"],
            profile=event["profile"],
        )
        tags = [
            InputTag("mlflow.data.context", event["context"]),
            InputTag("digest", event["digest"]),
        ]
        self.client.log_inputs(self.run_id, [DatasetInput(dataset, tags)])


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _batches(events: list[Event]) -> Iterator[list[Event]]:
    batch: list[Event] = []
    for event in events:
        if batch and (event["kind"] not in BATCHED or len(batch) == BATCH):
            yield batch
            batch = []
        if event["kind"] in BATCHED:
            batch.append(event)
        else:
            yield [event]
    if batch:
        yield batch


def _chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while part := list(islice(iterator, size)):
        yield part
