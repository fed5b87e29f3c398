"""The MLflow side: a quiet client, a store made once, and whether anyone answers."""

from __future__ import annotations

import functools
import logging
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from dgunet.system import environment, files
from dgunet.system.address import Address, redact
from dgunet.system.errors import DgunetError
from dgunet.system.reading import read_mapping
from dgunet.tracking.home import TrackingFolders, sqlite_path
from dgunet.tracking.server.health import StoreUnavailable, ask
from dgunet.tracking.server.limited_client import Limited, limited

__all__ = [
    "BackOff",
    "StoreUnavailable",
    "TrackingError",
    "answering",
    "ask",
    "client",
    "ensure_store",
    "one_line",
    "quiet_mlflow",
    "time_for",
]

CONNECT_SECONDS = 60
"""How long a database may take to let the client in, and to make its tables."""

_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "GIT_PYTHON_REFRESH": "quiet",
    "AWS_MAX_ATTEMPTS": "2",
}


class TrackingError(DgunetError):
    """The MLflow store cannot be used as it is."""


_added: set[str] = set()
"""Settings in the environment that are ours, not the user's."""


_ADDRESSES = "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"
"""Always set: MLflow prints the address of each ended run with the password that it may hold."""


@contextmanager
def quiet_mlflow() -> Iterator[None]:
    """Within the block MLflow is silent, sends no telemetry and gives up soon.

    Settings that the user made in the environment win, but for `_ADDRESSES`.
    """
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # It warns of each try; the last one's reason is told by whoever asked.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.ERROR)
    with (
        environment.with_defaults(_SETTINGS) as added,
        environment.with_value(_ADDRESSES, "true"),
    ):
        _added.update(added)
        try:
            yield
        finally:
            _added.difference_update(added)


@contextmanager
def time_for(paths: Iterable[Path]) -> Iterator[None]:
    """Within the block a request may take longer, by a second for each megabyte of ``paths``."""
    name = environment.MLFLOW_TIMEOUT.name
    if name not in _added:
        yield
        return
    size = sum(path.stat().st_size for path in paths)
    with environment.with_value(name, str(int(_SETTINGS[name]) + size // 1_000_000)):
        yield


@functools.lru_cache(maxsize=4)
def client(uri: Address | str) -> Any:
    """An ``MlflowClient``; the import and the first connection take seconds, so it is kept.

    Each of its calls to a server has a limit for the whole answer; see `Limited`.

    Raises:
        StoreUnavailable: if a database does not let it in.
    """
    address = uri if isinstance(uri, Address) else Address(uri)
    with quiet_mlflow():
        from mlflow import MlflowClient

        if address.scheme.partition("+")[0] in ("", "file", "sqlite"):
            return MlflowClient(tracking_uri=address.reveal())
        from mlflow.store.db import utils

        # Not ten, which takes minutes: a wrong password is as wrong the second time.
        utils.MAX_RETRY_COUNT = 2
        made = limited(
            lambda: MlflowClient(tracking_uri=address.reveal()), address, CONNECT_SECONDS
        )
        return Limited(made, address)


@contextmanager
def answering(folders: TrackingFolders, hint: str = "Start it and try again.") -> Iterator[None]:
    """Within the block MLflow is quiet, and whatever it or the network throws is one line.

    Raises:
        TrackingError: naming the store and the reason.
    """
    try:
        with quiet_mlflow():
            yield
    except StoreUnavailable as error:
        raise TrackingError(f"MLflow at {folders.uri} does not answer ({error}).", hint) from error
    except (DgunetError, OSError):
        raise
    except Exception as error:  # its drivers have errors of their own
        raise TrackingError(f"MLflow at {folders.uri}: {one_line(error)}.", hint) from error


def one_line(error: BaseException) -> str:
    """The error's name and the first line of its message, without secrets, 300 characters long."""
    text = redact(str(error).strip().partition("\n")[0])
    return f"{type(error).__name__}: {text}"[:300] if text else type(error).__name__


class BackOff:
    """A note beside the journals: this server did not answer, leave it alone for a while.

    Every process sees it, so a chain of short stages does not wait for the same dead server one
    after the other. The pause starts at a minute and doubles up to half an hour.
    """

    first, longest = 60.0, 1800.0

    def __init__(self, folders: TrackingFolders) -> None:
        self._path = folders.back_off
        self._uri = str(folders.uri)

    def _note(self) -> dict[str, Any]:
        try:
            note = read_mapping(self._path)
        except (OSError, DgunetError):
            return {}
        typed = all(isinstance(note.get(key), int | float) for key in ("pause", "until"))
        whole = typed and isinstance(note.get("reason"), str)
        return note if whole and note.get("uri") == self._uri else {}

    def reason(self) -> str | None:
        """Why the server is left alone at this moment; None when it may be tried."""
        note = self._note()
        return note["reason"] if note and time.time() < note["until"] else None

    def start(self, reason: str) -> None:
        """Begin a pause, longer than the last one."""
        pause = min(2 * self._note().get("pause", self.first / 2), self.longest)
        told = {"uri": self._uri, "reason": redact(reason)}
        note = told | {"pause": pause, "until": time.time() + pause}
        files.write_json(self._path, note)

    def clear(self) -> None:
        """The server answered."""
        self._path.unlink(missing_ok=True)


def ensure_store(folders: TrackingFolders | None = None) -> Address:
    """Make the sqlite store and its schema if it is not there; gives the store's address.

    Parallel writers on a fresh file would spoil it, because each one migrates the schema. So the
    database is made under another name by one process, behind a lock, and then renamed: it is
    whole or absent. Stores that are not sqlite are left as they are.

    Raises:
        TrackingError: if the file is there but is not a whole MLflow database.
    """
    folders = folders or TrackingFolders.at()
    path = sqlite_path(folders.uri)
    if path is None:
        return folders.uri
    if not _is_made(path):
        with files.writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_name(f"{path.name}.lock")):
                if not _is_made(path):
                    _make(path, folders)
    return folders.uri


def _make(path: Path, folders: TrackingFolders) -> None:
    own = folders.uri == folders.own_uri
    for left in path.parent.glob(f"{path.name}.*.partial*"):
        left.unlink(missing_ok=True)  # of an earlier version that was killed; the lock is ours
    with files.partial_folder(path) as folder, quiet_mlflow():
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        partial = folder / path.name  # a folder of its own: sqlite puts more files beside it
        artifacts = folders.artifacts if own else path.parent / "mlruns"
        SqlAlchemyStore(f"sqlite:///{partial}", artifacts.as_uri()).engine.dispose()
        files.sync(partial)
        files.rename(partial, path)


def _is_made(path: Path) -> bool:
    if not path.exists() or path.stat().st_size == 0:
        return False
    hint = f"Move it away and run `dgunet tracking init`: {path}"
    try:
        with closing(sqlite3.connect(path.as_uri() + "?mode=ro", uri=True)) as connection:
            rows = connection.execute("select name from sqlite_master where type = 'table'")
            tables = {row[0] for row in rows}
    except sqlite3.DatabaseError as error:
        raise TrackingError(f"{path} is not an MLflow database: {error}.", hint) from error
    torn = [name for name in tables if name.startswith("_alembic_tmp_")]
    if torn or "alembic_version" not in tables or "runs" not in tables:
        raise TrackingError(f"{path} is a half-made MLflow database.", hint)
    return True
