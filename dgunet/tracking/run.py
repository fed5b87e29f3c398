"""The run object of a step, which writes to the journal without waiting for a server."""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dgunet.system import files
from dgunet.system.errors import DgunetError
from dgunet.tracking.dataset_inputs import DatasetRef, dataset_source
from dgunet.tracking.delivery.replay import Delivery, deliver, since_last
from dgunet.tracking.home import TrackingFolders
from dgunet.tracking.index import RESULT_KEYS, delivered
from dgunet.tracking.journal.writing import JournalReader, JournalWriter
from dgunet.tracking.run_files import RunFiles
from dgunet.tracking.run_notes import NOTE
from dgunet.tracking.server.mlflow_store import short_reason
from dgunet.tracking.tracking_mode import Mode

LIVE_SECONDS = 60.0
"""Minimum seconds between two deliveries while the run is running."""

SHARE_SECONDS = 60.0
"""Seconds after a delivery in which runs wait for the next one: `import mlflow` takes seconds."""

SYSTEM = "system/"
"""Prefix of the metrics of the machine, by which MLflow shows them apart."""

_LOG = logging.getLogger(__name__)

_KEY = re.compile(r"[\w.\- :][/\w.\- :]{0,249}")


class Run(RunFiles):
    """Records one run in its journal; each method returns when the data is on the local disk."""

    def __init__(
        self, folders: TrackingFolders, writer: JournalWriter | None, mode: Mode, about: str = ""
    ) -> None:
        super().__init__(writer)
        self._about = about
        self._folders = folders
        self._mode = mode
        self._params: dict[str, str] = {}
        self._networks = 0
        self._flushed = time.monotonic()
        self._sending: threading.Thread | None = None
        self._run_id: str | None = None
        self._measured = False

    @property
    def has_metrics(self) -> bool:
        """Whether the run has metrics other than those of the machine."""
        return self._measured

    @property
    def journal_id(self) -> str:
        """Id of the run's journal, which stays the same after delivery; "" for mode ``off``."""
        return self._writer.id if self._writer else ""

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run; None before the first delivery."""
        if self._run_id is None and self._writer:
            try:
                self._run_id = JournalReader(self._writer.folder).cursor().run_id
            except (DgunetError, FileNotFoundError):
                known = {info.journal: info.run_id for info in delivered(self._folders)}
                self._run_id = known.get(self._writer.id)
        return self._run_id

    def log_metrics(
        self, metrics: Mapping[str, float], step: int | None = None, *, at: int | None = None
    ) -> None:
        """Record metrics at ``step`` (default 0); NaN and infinity are allowed.

        Args:
            metrics: values by name.
            step: of the training, or another count.
            at: time of the measurement in milliseconds since 1970; default: now.

        Raises:
            ValueError: for a name that MLflow would reject.
        """
        time_of = {} if at is None else {"time": at}
        self._append("metrics", values=_numbers(metrics), step=step or 0, **time_of)
        self._measured |= any(not key.startswith(SYSTEM) for key in metrics)
        if self._mode in ("now", "share") and time.monotonic() - self._flushed > LIVE_SECONDS:
            self._flush_in_thread()

    def log_scores(
        self, metrics: Mapping[str, float], *, checkpoint: str, dataset: DatasetRef
    ) -> None:
        """Record the scores of one network on one dataset, linked to both in MLflow.

        Args:
            metrics: as for `log_metrics`.
            checkpoint: SHA-256 of the weights; a logged model with these weights also gets the
                metrics.
            dataset: result of `log_dataset`.

        Raises:
            ValueError: for a name that MLflow would reject.
        """
        about = {"checkpoint": checkpoint, "dataset": [dataset.name, dataset.digest]}
        self._append("metrics", values=_numbers(metrics), step=0, **about)
        self._measured = True

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record parameters; the value of a parameter must not change.

        Raises:
            ValueError: for a name that MLflow would reject, or a changed value of a parameter.
        """
        values = {_key(key): str(value) for key, value in params.items()}
        for key, value in values.items():
            if self._params.setdefault(key, value) != value:
                raise ValueError(
                    f"parameter {key!r} already has the value {self._params[key]!r};"
                    f" it cannot become {value!r}"
                )
        self._append("params", values=values)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags; a later value replaces an earlier one."""
        self._append("tags", values={_key(key): str(value) for key, value in tags.items()})

    def describe_result(self, text: str) -> None:
        """Put the result, in Markdown, behind the run's description, above its metrics."""
        self.set_tags({NOTE: f"{self._about}\n\n{text}".strip()})

    def set_result(self, **hashes: str) -> None:
        """Record the SHA-256 of the run's results, by which `lookup` finds the run.

        Raises:
            ValueError: for a key that is not in ``RESULT_KEYS``.
        """
        if unknown := sorted(set(hashes) - set(RESULT_KEYS)):
            raise ValueError(f"unknown result {unknown[0]!r}; use one of {', '.join(RESULT_KEYS)}")
        self._append("result", values=hashes)

    def log_dataset(
        self,
        name: str,
        digest: str,
        source_uri: str,
        context: str,
        metadata: Mapping[str, Any] | None = None,
    ) -> DatasetRef:
        """Record a dataset that the run used.

        Args:
            name: as shown in MLflow.
            digest: SHA-256 of the content, recorded in full in the tags of the input. MLflow shows
                DVC's digest if DVC tracks the folder, else the first 36 characters.
            source_uri: path of the dataset.
            context: ``training`` or ``evaluation``.
            metadata: further facts, shown with the dataset.

        Returns:
            A reference for `log_scores`.
        """
        source = dataset_source(self._folders.home, source_uri, digest)
        shown = source.md5 if source.whole else digest[:36]
        self._append(
            "dataset",
            name=name,
            shown=shown,
            digest=digest,
            source_type=source.kind,
            source=json.dumps(source.to_dict()),
            profile=json.dumps(dict(metadata or {}), sort_keys=True),
            context=context,
        )
        return DatasetRef(name, shown)

    def log_network(
        self,
        path: Path,
        name: str,
        *,
        channels: int | None = None,
        step: int = 0,
        tags: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        """Record trained weights as an MLflow model that restores images of any size.

        Args:
            path: weights written by ``dgunet.network.save_network``.
            name: of the model, without the characters ``/ : . % " '``.
            channels: of the images; default: those of the network's configuration.
            step: the training step of the weights.
            tags: tags of the model.
            params: parameters of the model.

        Raises:
            ValueError: for a name that MLflow would reject.
        """
        if not name or set(name) & set("/:.%\"'"):
            raise ValueError(f"model name {name!r} is empty or contains one of / : . % \" '")
        if self._writer:
            self._networks += 1
            self._append(
                "network",
                number=str(self._networks),
                **self._writer.settle(self._writer.keep(path)),
                name=name,
                channels=channels or _channels(path),
                step=step,
                tags={key: str(value) for key, value in (tags or {}).items()}
                | {"checkpoint.sha256": files.sha256_file(path)},
                params={key: str(value) for key, value in (params or {}).items()},
            )

    def flush(self) -> Delivery:
        """Send recorded events if the store is available; otherwise they stay in the journal."""
        self._flushed = time.monotonic()
        if not self._writer or self._mode in ("later", "off"):
            return Delivery()
        return deliver(self._folders, only=self._writer.id, wait=0)

    def _flush_in_thread(self) -> None:
        """Call `flush` in a thread, so that a slow server does not delay the caller."""
        if self._sending is None or not self._sending.is_alive():
            self._flushed = time.monotonic()
            self._sending = threading.Thread(target=self.flush, daemon=True)
            self._sending.start()

    def end(self, status: str, error: str | None = None, *, closing: bool = False) -> None:
        """Close the journal and deliver it, except in mode ``later``; `start_run` calls this.

        Never raises: the work of the run is complete, so failures of delivery are only logged.
        """
        if self._writer is None:
            return
        try:
            try:
                self._append("end", status=status, error=error)
            finally:
                self._writer.close()
            if self._sending is not None:
                self._sending.join()
            self._deliver(status, closing)
        except Exception as failure:
            _LOG.warning(
                "the end of this run could not be sent to MLflow (%s)", short_reason(failure)
            )

    def _deliver(self, status: str, closing: bool) -> None:
        if self._mode == "later":
            return
        alone = closing or self._mode == "now" or status != "FINISHED"
        if not alone and since_last(self._folders) < SHARE_SECONDS:
            _LOG.info(
                "this run is sent to MLflow with the next delivery; to send it now:"
                " dgunet tracking sync"
            )
            return
        outcome = deliver(self._folders)
        for line in (*outcome.aside, *outcome.notes):
            _LOG.warning("%s", line)
        if outcome.waits:
            _LOG.warning(
                "MLflow at %s does not accept runs (%s), so they are kept; send them later with:"
                " dgunet tracking sync",
                self._folders.uri,
                outcome.waits,
            )


def _numbers(metrics: Mapping[str, float]) -> dict[str, float]:
    return {_key(key): float(value) for key, value in metrics.items()}


def _key(key: str) -> str:
    if not _KEY.fullmatch(key) or ".." in key or "//" in key or key.endswith("/"):
        raise ValueError(
            f"{key!r} is not a valid name in MLflow; use letters, digits, _ - . / : and spaces"
        )
    return key


def _channels(weights: Path) -> int:
    from dgunet import network

    net, _ = network.load_network(weights)
    return int(net.config.channels)
