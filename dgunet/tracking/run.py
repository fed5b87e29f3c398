"""One run as a stage sees it: it tells the journal, and never waits for a server."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dgunet.system import files
from dgunet.system.errors import ConfigError, DgunetError
from dgunet.system.reading import shorten
from dgunet.tracking.dataset_inputs import DatasetRef, where_from
from dgunet.tracking.delivery.replay import Delivery, deliver, since_last
from dgunet.tracking.home import TrackingFolders
from dgunet.tracking.index import RESULT_KEYS, delivered
from dgunet.tracking.journal.damage import say
from dgunet.tracking.journal.writing import JournalReader, JournalWriter
from dgunet.tracking.server.mlflow_store import one_line

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

LIVE_SECONDS = 60.0
"""A long run shows itself in MLflow at most this often while it goes on."""

SHARE_SECONDS = 60.0
"""Short DVC stages one after the other share a delivery: `import mlflow` alone takes seconds."""

Mode = Literal["now", "later", "share", "off"]

SEARCHED = ("stages", "scales", "recipe", "seed")
"""Settings that are tags as well, so that one search of MLflow's UI combines them with others."""

_KEY = re.compile(r"[\w.\- :][/\w.\- :]{0,249}")


def tracking_mode(name: str, default: Mode) -> Mode:
    """The mode that ``DGUNET_TRACKING`` names; ``default`` for an empty ``name``.

    Raises:
        ConfigError: if ``name`` is no mode.
    """
    named = name or default
    modes: tuple[Mode, ...] = get_args(Mode)
    for mode in modes:
        if named == mode:
            return mode
    raise ConfigError(f"DGUNET_TRACKING={shorten(named)}.", f"Use one of {', '.join(modes)}.")


class Run:
    """Tells the journal what happens; every method returns as soon as the local disk has it."""

    def __init__(self, folders: TrackingFolders, writer: JournalWriter | None, mode: Mode) -> None:
        self._folders = folders
        self._writer = writer
        self._mode = mode
        self._params: dict[str, str] = {}
        self._networks = 0
        self._flushed = time.monotonic()
        self._sending: threading.Thread | None = None
        self._run_id: str | None = None

    @property
    def journal_id(self) -> str:
        """Name of the run until, and after, MLflow gives it another; "" for a silent run."""
        return self._writer.id if self._writer else ""

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run; None until it was delivered."""
        if self._run_id is None and self._writer:
            try:
                self._run_id = JournalReader(self._writer.folder).cursor().run_id
            except (DgunetError, FileNotFoundError):
                known = {info.journal: info.run_id for info in delivered(self._folders)}
                self._run_id = known.get(self._writer.id)
        return self._run_id

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record numbers at ``step`` (0 without one); not-a-number and infinity are kept.

        Raises:
            ValueError: for a name that MLflow would refuse.
        """
        self._tell("metrics", values=_numbers(metrics), step=step or 0)
        if self._mode in ("now", "share") and time.monotonic() - self._flushed > LIVE_SECONDS:
            self._flush_beside()

    def log_scores(
        self, metrics: Mapping[str, float], *, checkpoint: str, dataset: DatasetRef
    ) -> None:
        """Record what one network scores on one data set, tied to both in MLflow.

        Args:
            metrics: as for `log_metrics`.
            checkpoint: SHA-256 of the weights; MLflow's model with them gets the numbers as well,
                if the store has one.
            dataset: as `log_dataset` gave it.

        Raises:
            ValueError: for a name that MLflow would refuse.
        """
        about = {"checkpoint": checkpoint, "dataset": [dataset.name, dataset.digest]}
        self._tell("metrics", values=_numbers(metrics), step=0, **about)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record settings; a setting is said once, or again with the same value.

        Raises:
            ValueError: for a name that MLflow would refuse, or a second value of a setting.
        """
        values = {_key(key): str(value) for key, value in params.items()}
        for key, value in values.items():
            if self._params.setdefault(key, value) != value:
                raise ValueError(f"parameter {key!r} is {self._params[key]!r}, not {value!r} too")
        self._tell("params", values=values)
        if searched := {key: values[key] for key in SEARCHED if key in values}:
            self._tell("tags", values=searched)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags; a later value replaces an earlier one."""
        self._tell("tags", values={_key(key): str(value) for key, value in tags.items()})

    def set_result(self, **hashes: str) -> None:
        """Say what the run made, as SHA-256 by key, so that `lookup` finds the run by it.

        Raises:
            ValueError: for a key that is not one of ``RESULT_KEYS``.
        """
        if unknown := sorted(set(hashes) - set(RESULT_KEYS)):
            raise ValueError(f"unknown result {unknown[0]!r}; known are {', '.join(RESULT_KEYS)}")
        self._tell("result", values=hashes)

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """Keep a copy of the file or folder at ``path`` under ``folder`` in the run."""
        if self._writer:
            kept = self._writer.settle(self._writer.keep(path))
            self._tell("artifact", **kept, folder=folder)

    def log_table(self, table: pd.DataFrame, name: str) -> None:
        """Record a table as ``name`` (ends in .json); MLflow's UI and ``load_table`` read it.

        Raises:
            ValueError: if ``name`` does not end in ``.json``.
        """
        if not name.endswith(".json"):
            raise ValueError(f"the table's name {name!r} does not end in .json")
        if self._writer:
            path = self._writer.place(name)
            text = table.to_json(orient="split", index=False, date_format="iso")
            path.write_text(text, encoding="utf-8")
            self._tell_file(path, name, table=True)

    def log_figure(self, figure: Figure, name: str) -> None:
        """Record a Matplotlib figure as ``name``; the ending chooses the format."""
        if self._writer:
            path = self._writer.place(name)
            figure.savefig(path)
            self._tell_file(path, name)

    def log_image(self, image: NDArray[Any], name: str) -> None:
        """Record an image as ``name`` (PNG): (H, W) or (H, W, C), uint8 or float in [0, 1]."""
        if self._writer:
            from PIL import Image

            if image.dtype != np.uint8:
                image = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
            image = image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image
            path = self._writer.place(name)
            Image.fromarray(image).save(path)
            self._tell_file(path, name)

    def log_dataset(
        self,
        name: str,
        digest: str,
        source_uri: str,
        context: str,
        metadata: Mapping[str, Any] | None = None,
    ) -> DatasetRef:
        """Record a data set that went in.

        Args:
            name: shown name.
            digest: SHA-256 of its content, kept whole in the input's tags. MLflow shows DVC's
                own digest where DVC vouches for the folder, else the first 36 characters.
            source_uri: the folder it lies in.
            context: ``training`` or ``evaluation``.
            metadata: more facts, shown with the data set.

        Returns:
            What `log_scores` needs to tie numbers to it.
        """
        source = where_from(self._folders.home, source_uri, digest)
        shown = source.md5 if source.whole else digest[:36]
        self._tell(
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
            path: weights as ``dgunet.network.save_network`` writes them.
            name: the model's name; none of ``/ : . % " '``.
            channels: of the images; read from the network's configuration without it.
            step: the training step of the weights.
            tags: tags of the model.
            params: settings of the model.

        Raises:
            ValueError: for a name that MLflow would refuse.
        """
        if not name or set(name) & set("/:.%\"'"):
            raise ValueError(f"model name {name!r} is empty or holds one of / : . % \" '")
        if self._writer:
            self._networks += 1
            self._tell(
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
        """Send what there is, if the store answers; the rest stays in the journal."""
        self._flushed = time.monotonic()
        if not self._writer or self._mode in ("later", "off"):
            return Delivery()
        return deliver(self._folders, only=self._writer.id, wait=0)

    def _flush_beside(self) -> None:
        """`flush` in a thread: the work goes on while a slow server takes its time."""
        if self._sending is None or not self._sending.is_alive():
            self._flushed = time.monotonic()
            self._sending = threading.Thread(target=self.flush, daemon=True)
            self._sending.start()

    def _tell(self, kind: str, **content: Any) -> None:
        if self._writer:
            self._writer.append(kind, **content)

    def _tell_file(self, path: Path, name: str, *, table: bool = False) -> None:
        assert self._writer is not None
        folder = Path(name).parent.as_posix()
        self._tell(
            "artifact",
            **self._writer.settle(path),
            folder="" if folder == "." else folder,
            table=table,
        )

    def end(self, status: str, error: str | None = None, *, closing: bool = False) -> None:
        """Close the journal and, unless it shall wait, deliver it; `start_run` calls this.

        Never raises: the work is done, and what is wrong with telling it is said in one line.
        """
        if self._writer is None:
            return
        try:
            try:
                self._tell("end", status=status, error=error)
            finally:
                self._writer.close()
            if self._sending is not None:
                self._sending.join()
            self._deliver(status, closing)
        except Exception as failure:
            told = str(failure) if isinstance(failure, DgunetError) else one_line(failure)
            say(f"the end of this run could not be told to MLflow ({told})")

    def _deliver(self, status: str, closing: bool) -> None:
        if self._mode == "later":
            return
        alone = closing or self._mode == "now" or status != "FINISHED"
        if not alone and since_last(self._folders) < SHARE_SECONDS:
            say("this run goes to MLflow with the next delivery; at once: dgunet tracking sync")
            return
        outcome = deliver(self._folders)
        for line in (*outcome.aside, *outcome.notes):
            say(line)
        if outcome.waits:
            say(
                f"MLflow at {self._folders.uri} is not taking runs ({outcome.waits}); "
                "they are kept, send them later with: dgunet tracking sync"
            )


def _numbers(metrics: Mapping[str, float]) -> dict[str, float]:
    return {_key(key): float(value) for key, value in metrics.items()}


def _key(key: str) -> str:
    if not _KEY.fullmatch(key) or ".." in key or "//" in key or key.endswith("/"):
        raise ValueError(
            f"{key!r} cannot be a name in MLflow: use letters, digits, _ - . / : and spaces"
        )
    return key


def _channels(weights: Path) -> int:
    from dgunet import network

    net, _ = network.load_network(weights)
    return int(net.config.channels)
