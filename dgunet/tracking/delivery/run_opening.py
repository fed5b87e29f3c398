"""Finds, adopts or creates the MLflow run of a journal; the run is created only once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from dgunet.tracking import index
from dgunet.tracking.delivery.answers import checked_id, is_refusal
from dgunet.tracking.experiment_pages import describe_experiment
from dgunet.tracking.home import TrackingFolders
from dgunet.tracking.journal.cursor import Cursor
from dgunet.tracking.journal.events import JOURNAL_ID
from dgunet.tracking.journal.reading import JournalReader
from dgunet.tracking.server import mlflow_store

COMPARED = ("train", "evaluate")
"""Steps with top-level runs, because MLflow's charts omit children of a collapsed run."""

PARENT = "mlflow.parentRunId"


def open_run(client: Any, folders: TrackingFolders, reader: JournalReader, cursor: Cursor) -> None:
    """Determine the MLflow run of a journal, and save its id in the cursor.

    First, a run that was already created for this journal is looked up by its tag, because its id
    may have been lost in a kill or with the cursor. Otherwise the run to adopt, or the run of the
    earlier journal, is continued. Otherwise a run is created, with the tag set in the same call.

    Raises:
        TrackingError: if the experiment is deleted.
        NotMlflowError: if an answer contains no usable id.
    """
    if cursor.run_id and cursor.experiment_id:
        return
    _Opening(client, folders, reader, cursor).open()
    reader.save(cursor)


def log_tags(client: Any, run_id: str, tags: dict[str, str]) -> None:
    """Set tags, in requests of at most 100, which is MLflow's limit."""
    from mlflow.entities import RunTag

    for part in chunks([RunTag(key, value) for key, value in tags.items()], 100):
        client.log_batch(run_id, tags=part)


def chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    """``items`` in lists of at most ``size``."""
    iterator = iter(items)
    while part := list(islice(iterator, size)):
        yield part


class _Opening:
    def __init__(
        self, client: Any, folders: TrackingFolders, reader: JournalReader, cursor: Cursor
    ) -> None:
        self.client = client
        self.folders = folders
        self.reader = reader
        self.header = reader.header
        self.cursor = cursor

    def open(self) -> None:
        known = self._experiment()
        made = self._made_before(known, self.reader.id)
        earlier = self.header.get("continues")
        given = made or self.cursor.run_id or self.header.get("adopt")
        if given is None and earlier:
            given = index.run_id_of(self.folders, earlier) or self._made_before(known, earlier)
        if made and not (earlier or self.header.get("adopt")):
            self.cursor.run_id, self.cursor.experiment_id = made, known.experiment_id
        elif given is None or not self._take_over(given):
            self._make_run(known, {"adopted.missing": given} if given else {})
        self._describe(known)

    def _experiment(self) -> Any:
        """The experiment of the header in MLflow, or None."""
        name = self.header["experiment"]
        known = self.client.get_experiment_by_name(name)
        if known is not None:
            checked_id(known.name, name, self.folders.uri)
            checked_id(known.experiment_id, None, self.folders.uri)
        return known

    def _describe(self, known: Any) -> None:
        """Write the note and the views of the run's experiment, unless it is Kubeflow's."""
        experiment = known or self.client.get_experiment_by_name(self.header["experiment"])
        if experiment is not None and experiment.experiment_id == self.cursor.experiment_id:
            describe_experiment(self.client, experiment, [self.header["tags"]])

    def _made_before(self, experiment: Any, journal: str) -> str | None:
        """The id of the run that was created for ``journal`` in ``experiment``, or None."""
        if experiment is None or not JOURNAL_ID.fullmatch(journal):
            return None
        wanted = f"tags.`dgunet.journal` = '{journal}'"
        runs = self.client.search_runs([experiment.experiment_id], wanted)
        return checked_id(runs[0].info.run_id, None, self.folders.uri) if runs else None

    def _make_run(self, experiment: Any, tags: dict[str, str]) -> None:
        if experiment is not None and experiment.lifecycle_stage == "deleted":
            number = experiment.experiment_id
            raise mlflow_store.TrackingError(
                f"the MLflow experiment {self.header['experiment']!r} is deleted.",
                f"Restore it: mlflow experiments restore --experiment-id {number}",
            )
        self.cursor.run_id = None
        self.cursor.experiment_id = (
            experiment.experiment_id if experiment else self._make_experiment()
        )
        self.cursor.attempted = True
        self.reader.save(self.cursor)
        made = self.client.create_run(
            self.cursor.experiment_id,
            start_time=self.header["start"],
            tags={"dgunet.journal": self.reader.id} | self.header["tags"] | tags,
            run_name=self.header["name"],
        )
        self.cursor.run_id = checked_id(made.info.run_id, None, self.folders.uri)

    def _make_experiment(self) -> str:
        """Create the experiment of the header and return its id."""
        name = self.header["experiment"]
        ours = self.folders.uri == self.folders.own_uri
        folder = self.folders.artifacts / name.replace("/", "-")
        try:
            made = self.client.create_experiment(name, folder.as_uri() if ours else None)
        except Exception as error:
            if getattr(error, "error_code", "") != "RESOURCE_ALREADY_EXISTS":
                raise
            made = self.client.get_experiment_by_name(name).experiment_id
        return checked_id(made, None, self.folders.uri)

    def _take_over(self, run_id: str) -> bool:
        """Continue an existing run under the name of this one; False if it does not exist.

        The run may have failed before, if a pipeline step or a training is retried.
        """
        try:
            found = self.client.get_run(run_id)
        except Exception as error:
            if not is_refusal(error):
                raise
            return False
        if found.info.lifecycle_stage == "deleted":
            return False
        checked_id(found.info.run_id, run_id, self.folders.uri)
        self.cursor.run_id, self.cursor.experiment_id = run_id, found.info.experiment_id
        tags = {"dgunet.journal": self.reader.id} | self.header["tags"]
        old = ["error"]
        if found.info.run_name != self.header["name"]:
            tags["adopted.name"] = found.info.run_name
        if self.header["tags"].get("stage") in COMPARED and PARENT in found.data.tags:
            tags["adopted.parent"] = found.data.tags[PARENT]
            old.append(PARENT)
        log_tags(self.client, run_id, tags)
        self.client.update_run(run_id, "RUNNING", self.header["name"])
        for tag in old:
            if tag in found.data.tags:
                self.client.delete_tag(run_id, tag)
        return True
