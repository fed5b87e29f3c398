"""Sends one journal to MLflow, from its cursor to its end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dgunet.system import files, leftovers
from dgunet.system.safe_paths import inside
from dgunet.tracking import index
from dgunet.tracking.delivery.answers import checked_id, is_missing_page, is_refusal
from dgunet.tracking.delivery.arrived_files import settle_artifacts
from dgunet.tracking.delivery.logged_models import find_model, log_model
from dgunet.tracking.delivery.run_opening import chunks, log_tags, open_run
from dgunet.tracking.home import TrackingFolders
from dgunet.tracking.journal.cursor import Cursor
from dgunet.tracking.journal.damage import Damaged, LostFile, set_aside
from dgunet.tracking.journal.events import Event
from dgunet.tracking.journal.reading import JournalReader, check_artifact
from dgunet.tracking.provenance import PROCESS
from dgunet.tracking.server import mlflow_store

BATCHED = ("metrics", "params", "tags", "result")
"""Kinds of events that may share a request."""

BATCH = 200
"""Maximum number of events in one request."""

LOST = "dgunet.lost"
"""Tag of a run with files that were lost before delivery."""


class JournalSender:
    """Sends one journal."""

    def __init__(self, client: Any, folders: TrackingFolders, reader: JournalReader) -> None:
        self.client = client
        self.folders = folders
        self.reader = reader
        self.cursor: Cursor = reader.cursor()
        self.header = reader.header
        self.aside: Path | None = None
        """New path of the journal if it was set aside because of lost files."""
        self.lost: list[str] = []
        """Reasons why it was set aside."""
        self._models: dict[str, str | None] = {}
        self._found = False

    @property
    def run_id(self) -> str:
        """Id of the MLflow run, which is set before any event is sent."""
        assert self.cursor.run_id is not None
        return self.cursor.run_id

    def send(self) -> bool:
        """Send all waiting events; True if the run has ended and is fully delivered.

        Raises:
            Damaged: before anything is sent, if the journal was changed.
        """
        events = self.reader.events()
        if self.cursor.sent > len(events):
            self.cursor = Cursor()
        open_run(self.client, self.folders, self.reader, self.cursor)
        for batch in _batches(events[self.cursor.sent :]):
            try:
                self._send_or_refuse(batch)
            except LostFile as error:
                self._note_loss(error)
            self.cursor.sent += len(batch)
            self.reader.save(self.cursor)
        if not events or events[-1]["kind"] != "end":
            return False
        self._release()
        return True

    def _note_loss(self, error: LostFile) -> None:
        self.cursor.lost[str(self.cursor.sent)] = str(error)
        reasons = "; ".join(self.cursor.lost.values())
        self.client.set_tag(self.run_id, LOST, reasons[:500])

    def _release(self) -> None:
        """Add the run to the index, then remove or move the journal in one step."""
        info = index.describe_journal(
            self.reader, str(self.folders.uri), self.cursor.run_id, self.cursor.experiment_id
        )
        index.add_delivered_run(self.folders, info)
        folder = self.reader.folder
        if self.cursor.lost:
            self.lost = list(self.cursor.lost.values())
            # Delivery continues here once the files are restored.
            self.cursor.sent = min(map(int, self.cursor.lost))
            self.cursor.lost = {}
            self.reader.save(self.cursor)
            self.aside = set_aside(self.folders, folder, "; ".join(self.lost))
        elif self.cursor.refused:
            files.make_folder(self.folders.refused)
            files.rename(folder, self.folders.refused / self.reader.id)
        else:
            gone = folder.with_name(leftovers.partial_name(self.reader.id))
            files.rename(folder, gone)
            leftovers.remove(gone)

    def _send_or_refuse(self, batch: list[Event]) -> None:
        """Send a batch; if MLflow rejects it, send its events one by one and keep rejected ones.

        Raises:
            LostFile: if the file of an event is missing or was changed.
        """
        try:
            self._send(batch)
        except Exception as error:
            # A server before MLflow 3 has no logged models and answers with a web page.
            if not (
                is_refusal(error) or (batch[0]["kind"] == "network" and is_missing_page(error))
            ):
                raise
            self._check_run()
            if len(batch) > 1:
                for event in batch:
                    self._send_or_refuse([event])
                return
            self.cursor.refused += 1
            refusal = {"error": mlflow_store.one_line(error)} | batch[0]
            files.write_json(
                self.reader.folder / f"refused-{self.cursor.refused:04d}.json", refusal
            )

    def _check_run(self) -> Any:
        """Fetch the run from MLflow; a request counts as rejected only if the run exists.

        Raises:
            TrackingError: if the store does not have the run.
            NotMlflowError: if the answer has no run id, or that of another run.
        """
        try:
            found = self.client.get_run(self.run_id)
        except Exception as error:
            if not is_refusal(error):
                raise
            raise mlflow_store.TrackingError(
                f"MLflow at {self.folders.uri} has no run {self.run_id}: it was deleted,"
                " or this is another server.",
                f"To send it as a new run, delete {self.reader.folder / 'cursor.json'}",
            ) from error
        checked_id(found.info.run_id, self.run_id, self.folders.uri)
        return found

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
            with mlflow_store.time_for([self._kept(event)]):
                log_model(self.client, self.folders.uri, self.reader, self.cursor, event)
        elif kind == "end":
            if event.get("error"):
                self.client.set_tag(self.run_id, "error", event["error"])
            self.client.set_terminated(self.run_id, event["status"], event["time"])
            self._check_end(event["status"])

    def _check_end(self, status: str) -> None:
        """Check that MLflow has recorded the end of the run before the journal is removed."""
        found = self._check_run()
        checked_id(found.info.status, status, self.folders.uri)
        old = [PROCESS] if self.cursor.lost else [PROCESS, LOST]
        for tag in old:
            if tag in found.data.tags:
                self.client.delete_tag(self.run_id, tag)
        settle_artifacts(found.info.artifact_uri)

    def _kept(self, event: Event) -> Path:
        """The file or folder of an event.

        Raises:
            LostFile: if it is missing, is not a plain file, or was changed.
        """
        origin = str(self.reader.folder / "events.jsonl")
        path = inside(self.reader.folder, event["file"], origin=origin, kind=Damaged)
        check_artifact(path, event.get("sha256"))
        return path

    def _log_batch(self, batch: list[Event]) -> None:
        from mlflow.entities import Metric, Param

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
        for part in chunks(metrics, 900):
            self.client.log_batch(self.run_id, metrics=part)
        for part in chunks([Param(k, v) for k, v in params.items()], 100):
            self.client.log_batch(self.run_id, params=part)
        log_tags(self.client, self.run_id, tags)

    def _about(self, event: Event) -> tuple[str | None, str | None, str | None]:
        """Model id, dataset name and dataset digest that the metrics of an event belong to."""
        if "checkpoint" not in event:
            return None, None, None
        return self._scored_model(event["checkpoint"]), *event["dataset"]

    def _scored_model(self, checkpoint: str) -> str | None:
        """Id of the newest model with these weights; the model becomes an input of the run."""
        if checkpoint not in self._models:
            model = find_model(self.client, checkpoint)
            if model and model.source_run_id != self.run_id:
                from mlflow.entities import LoggedModelInput

                self.client.log_inputs(self.run_id, models=[LoggedModelInput(model.model_id)])
            self._models[checkpoint] = model.model_id if model else None
        return self._models[checkpoint]

    def _log_artifact(self, event: Event) -> None:
        path, folder = self._kept(event), event["folder"]
        if not self._found:  # MLflow's client keeps the run's folder of artifacts from any answer
            self._check_run()
            self._found = True
        if path.is_dir():
            with mlflow_store.time_for(file for file in path.rglob("*") if file.is_file()):
                self.client.log_artifacts(self.run_id, str(path), _join(folder, path.name))
            return
        with mlflow_store.time_for([path]):
            self.client.log_artifact(self.run_id, str(path), folder or None)
        if event.get("table"):
            self._announce_table(_join(folder, path.name))

    def _announce_table(self, path: str) -> None:
        """List a table in the tag that MLflow's ``log_table`` sets for the user interface."""
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
