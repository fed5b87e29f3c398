"""MLflow's model registry: versions, aliases, and the evaluations of a version."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dgunet.system import files
from dgunet.terms import CHECKPOINT_TAG, DATA_TAG, PARITY_TAG, PROTOCOL_TAG, STATE_TAG
from dgunet.tracking.delivery.logged_models import find_model
from dgunet.tracking.home import TrackingFolders
from dgunet.tracking.server import mlflow_store

CANDIDATE, BEST, OFFICIAL = "candidate", "best", "official"
"""Aliases: the version registered last; the one that was significantly better than its predecessor
on the test sets; the weights released by the authors."""


@dataclass(frozen=True)
class Version:
    """One version of a registered model."""

    name: str
    number: str
    checkpoint: str
    """SHA-256 of the weights."""
    tags: Mapping[str, str]
    aliases: tuple[str, ...]

    @property
    def uri(self) -> str:
        """Address for ``mlflow.pyfunc.load_model`` and ``mlflow models serve``."""
        return f"models:/{self.name}/{self.number}"


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of a network: its run, dataset and protocol."""

    run_id: str
    dataset: str
    data_digest: str
    protocol: str
    parity: str


class Registry:
    """The model registry of the project's store, which must exist.

    Raises:
        TrackingError: if there is no store yet, it does not answer, or is damaged.
    """

    def __init__(self, folders: TrackingFolders) -> None:
        self.folders = folders
        if not mlflow_store.has_store(folders):
            raise mlflow_store.TrackingError(
                f"there is no MLflow store at {folders.uri} yet.",
                "Train a network (dgunet train derain) and send its run (dgunet tracking sync).",
            )
        with mlflow_store.answering(folders):
            mlflow_store.ask(folders.uri)
            self.client: Any = mlflow_store.client(folders.uri)

    def names(self) -> list[str]:
        """Names of the registered models of dgunet."""
        with mlflow_store.answering(self.folders):
            found = self.client.search_registered_models("name LIKE 'dgunet-%'")
        return [model.name for model in found]

    def versions(self, name: str) -> list[Version]:
        """All versions of a registered model in order; none for an unknown name."""
        with mlflow_store.answering(self.folders):
            found = self.client.search_model_versions(f"name = '{name}'")
            model = self.client.get_registered_model(name) if found else None
        aliases: dict[str, list[str]] = {}
        for alias, number in (model.aliases if model else {}).items():
            aliases.setdefault(str(number), []).append(alias)
        versions = [
            Version(
                name,
                str(v.version),
                v.tags.get(CHECKPOINT_TAG, ""),
                dict(v.tags),
                tuple(sorted(aliases.get(str(v.version), ()))),
            )
            for v in found
        ]
        return sorted(versions, key=lambda version: int(version.number))

    def with_alias(self, name: str, alias: str) -> Version | None:
        """The version with this alias, or None."""
        return next((v for v in self.versions(name) if alias in v.aliases), None)

    def register(
        self, name: str, checkpoint: str, *, tags: Mapping[str, str], description: str
    ) -> Version:
        """Return the version of ``name`` with these weights; register it if there is none.

        Raises:
            TrackingError: if the store has no finished model with these weights.
        """
        known = next((v for v in self.versions(name) if v.checkpoint == checkpoint), None)
        if known is not None:
            return known
        with mlflow_store.answering(self.folders):
            model = find_model(self.client, checkpoint)
            if model is None:
                raise mlflow_store.TrackingError(
                    f"MLflow at {self.folders.uri} has no finished model whose weights have the "
                    f"SHA-256 {checkpoint}.",
                    "Send waiting runs first: dgunet tracking sync",
                )
            if name not in self.names():
                self.client.create_registered_model(name, description=description)
            made = self.client.create_model_version(
                name,
                model.artifact_location,
                run_id=model.source_run_id,
                tags={CHECKPOINT_TAG: checkpoint} | dict(tags),
                model_id=model.model_id,
                await_creation_for=0,
            )
        number = str(made.version)
        return next(v for v in self.versions(name) if v.number == number)

    def set_alias(self, version: Version, alias: str, *, because: str = "") -> None:
        """Set ``alias`` to ``version``; the reason becomes the description of the version."""
        with mlflow_store.answering(self.folders):
            self.client.set_registered_model_alias(version.name, alias, version.number)
            if because:
                self.client.update_model_version(version.name, version.number, because)

    def evidence(self, checkpoint: str) -> dict[str, Evaluation]:
        """The newest finished evaluation of these weights on each test set, by the set's name."""
        with mlflow_store.answering(self.folders):
            experiments = [found.experiment_id for found in self.client.search_experiments()]
            runs = self.client.search_runs(
                experiments,
                f"tags.`checkpoint.sha256` = '{checkpoint}' and attributes.status = 'FINISHED'",
                order_by=["attributes.start_time ASC"],
            )
        found = {}
        for run in runs:
            tags = run.data.tags
            if tags.get("result.per_image") and tags.get(STATE_TAG) != "waiting for the server":
                found[tags["dataset"]] = Evaluation(
                    run.info.run_id,
                    tags["dataset"],
                    tags[DATA_TAG],
                    tags[PROTOCOL_TAG],
                    tags[PARITY_TAG],
                )
        return found

    def per_image(self, evidence: Evaluation) -> bytes:
        """The per-image Parquet file of an evaluation, after a check of its digest.

        Raises:
            TrackingError: if the artifact differs from the digest of the run.
        """
        with mlflow_store.answering(self.folders), tempfile.TemporaryDirectory() as folder:
            path = self.client.download_artifacts(evidence.run_id, "per_image.parquet", folder)
            wanted = self.client.get_run(evidence.run_id).data.tags["result.per_image"]
            content = Path(path).read_bytes()
        if files.sha256_bytes(content) != wanted:
            raise mlflow_store.TrackingError(
                f"per_image.parquet of the run {evidence.run_id} was changed: its digest differs.",
                "Run this evaluation again.",
            )
        return content

    def newest_training(self, tags: Mapping[str, str]) -> str | None:
        """SHA-256 of the weights of the newest finished training with these tags, or None."""
        search = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
        with mlflow_store.answering(self.folders):
            experiments = [found.experiment_id for found in self.client.search_experiments()]
            runs = self.client.search_runs(
                experiments,
                f"{search} and attributes.status = 'FINISHED'",
                max_results=1,
                order_by=["attributes.start_time DESC"],
            )
        return str(runs[0].data.tags["result.checkpoint"]) if runs else None
