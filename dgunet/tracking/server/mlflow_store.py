"""Access to MLflow: a quiet client, creation of the store, and pauses after failures."""

from __future__ import annotations

import functools
import logging
import sqlite3
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from dgunet.system import environment, files
from dgunet.system.address import Address, redact
from dgunet.system.errors import DgunetError
from dgunet.system.extras import missing_extra
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
    "has_store",
    "one_line",
    "quiet_mlflow",
    "short_reason",
    "time_for",
]

CONNECT_SECONDS = 60
"""Time limit for connecting to a database and creating its tables."""

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
    """The MLflow store cannot be used."""


_added: set[str] = set()
"""Names of the settings that this module, not the user, put into the environment."""


_ADDRESSES = "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"
"""Always set: otherwise, MLflow prints the address of each run, including a password."""


@contextmanager
def quiet_mlflow() -> Iterator[None]:
    """Within the block, MLflow prints nothing, sends no telemetry and has short time limits.

    Variables that the user set take precedence, except for `_ADDRESSES`.
    """
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # In a notebook without ipywidgets, importing MLflow warns about bars that it does not show.
    warnings.filterwarnings("ignore", message="IProgress not found")
    # It warns about each attempt; the caller reports the reason of the last one.
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
    """Within the block, extend the time limit of requests by one second per MB of ``paths``."""
    name = environment.MLFLOW_TIMEOUT.name
    if name not in _added:
        yield
        return
    size = sum(path.stat().st_size for path in paths)
    with environment.with_value(name, str(int(_SETTINGS[name]) + size // 1_000_000)):
        yield


@functools.lru_cache(maxsize=4)
def client(uri: Address | str) -> Any:
    """An ``MlflowClient``, cached because the import and the first connection take seconds.

    Each call to a server has a time limit; see `Limited`.

    Raises:
        StoreUnavailable: if the connection to a database fails.
    """
    address = uri if isinstance(uri, Address) else Address(uri)
    with quiet_mlflow():
        from mlflow import MlflowClient

        if address.scheme.partition("+")[0] in ("", "file", "sqlite"):
            return MlflowClient(tracking_uri=address.reveal())
        from mlflow.store.db import utils

        # Not the default of 10, which takes minutes even for a wrong password.
        utils.MAX_RETRY_COUNT = 2
        made = limited(
            lambda: MlflowClient(tracking_uri=address.reveal()), address, CONNECT_SECONDS
        )
        return Limited(made, address)


@contextmanager
def answering(folders: TrackingFolders, hint: str = "Start it and try again.") -> Iterator[None]:
    """Within the block, MLflow is quiet and its errors become a `TrackingError`.

    Raises:
        TrackingError: with the address of the store and the reason.
    """
    try:
        with quiet_mlflow():
            yield
    except StoreUnavailable as error:
        raise TrackingError(f"MLflow at {folders.uri} does not answer ({error}).", hint) from error
    except (DgunetError, OSError, ModuleNotFoundError):
        raise
    except Exception as error:  # database drivers have their own errors
        raise TrackingError(f"MLflow at {folders.uri}: {one_line(error)}.", hint) from error


def one_line(error: BaseException) -> str:
    """The type and the first line of an error, without secrets, at most 300 characters.

    For a package that is not installed, how to install it.
    """
    if missing := missing_extra(error):
        return missing
    text = redact(str(error).strip().partition("\n")[0])
    return f"{type(error).__name__}: {text}"[:300] if text else type(error).__name__


def short_reason(error: Exception) -> str:
    """The reason of a failure in one line: the message of a `DgunetError`, else `one_line`."""
    return " ".join(str(error).split()) if isinstance(error, DgunetError) else one_line(error)


class BackOff:
    """A pause in which an unavailable store is not contacted, saved next to the journals.

    It holds for all processes of a project, so that consecutive short steps do not each wait for
    the same server. The pause starts at one minute and doubles up to half an hour.
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
        """The reason of the pause; None if there is no pause."""
        note = self._note()
        return note["reason"] if note and time.time() < note["until"] else None

    def start(self, reason: str) -> None:
        """Start a pause, longer than the last one."""
        pause = min(2 * self._note().get("pause", self.first / 2), self.longest)
        note = {"uri": self._uri, "reason": redact(reason)}
        files.write_json(self._path, note | {"pause": pause, "until": time.time() + pause})

    def clear(self) -> None:
        """End the pause after the store answered."""
        self._path.unlink(missing_ok=True)


def has_store(folders: TrackingFolders) -> bool:
    """Return whether there is a store to read; nothing is created, and no server is asked.

    A command that only reads calls this before `client`, which would create an SQLite file.

    Raises:
        TrackingError: if the file exists and is not a complete MLflow database.
    """
    path = sqlite_path(folders.uri)
    return path is None or _is_made(path)


def ensure_store(folders: TrackingFolders | None = None) -> Address:
    """Create the SQLite store and its schema if it does not exist; return the store's address.

    Processes that write to a new file in parallel would damage it, because each one migrates the
    schema. Therefore one process, holding a lock, creates the database under another name and
    renames it, so the database is complete or absent. Stores other than SQLite are not changed.

    Raises:
        TrackingError: if the file exists and is not a complete MLflow database.
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
    # Left by a killed process of an earlier version; this process holds the lock.
    for left in path.parent.glob(f"{path.name}.*.partial*"):
        left.unlink(missing_ok=True)
    with files.partial_folder(path) as folder, quiet_mlflow():
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        # In a separate folder, because SQLite creates further files next to the database.
        partial = folder / path.name
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
        raise TrackingError(f"{path} is an incomplete MLflow database.", hint)
    return True
