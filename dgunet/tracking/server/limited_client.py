"""MLflow's client with a limit for every whole answer."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dgunet.system import environment
from dgunet.system.address import Address
from dgunet.system.deadline import within
from dgunet.tracking.server.health import StoreUnavailable

REQUESTS = 3
"""A call is at most so many requests, each of which may take the seconds of ``MLFLOW_HTTP_REQUEST_TIMEOUT``."""

HURRY_SECONDS = 4.0

_hurry = False


@contextmanager
def short_time_limit() -> Iterator[None]:
    """Within the block a call has `HURRY_SECONDS` only: the process was told to end."""
    global _hurry
    before, _hurry = _hurry, True
    try:
        yield
    finally:
        _hurry = before


def _seconds() -> float:
    return REQUESTS * environment.MLFLOW_TIMEOUT.get() * (1 + environment.MLFLOW_RETRIES.get())


class Limited:
    """An ``MlflowClient`` whose methods raise `StoreUnavailable` if the whole answer is late.

    A call that is given up may still arrive: everything that is sent may be sent again.

    Args:
        client: the client.
        uri: of its store, for the message.
    """

    def __init__(self, client: Any, uri: Address) -> None:
        self._client = client
        self._uri = uri

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if not callable(method):
            return method

        @functools.wraps(method)
        def call(*values: Any, **named: Any) -> Any:
            return limited(lambda: method(*values, **named), self._uri, _seconds())

        return call

    def log_artifacts(self, run_id: str, local_dir: str, artifact_path: str | None = None) -> None:
        """Send the files of a folder one by one, so that the limit is each file's."""
        for path, folder in _files(local_dir, artifact_path):
            self.log_artifact(run_id, path, folder)

    def log_model_artifacts(self, model_id: str, local_dir: str) -> None:
        """As `log_artifacts`, for a model."""
        for path, folder in _files(local_dir, None):
            self.log_model_artifact(model_id, path, folder)


def limited(work: Callable[[], Any], uri: Address, seconds: float) -> Any:
    """The result of ``work``, or `StoreUnavailable` after ``seconds``, or sooner if the process must end."""
    try:
        return within(lambda: min(seconds, HURRY_SECONDS) if _hurry else seconds, work)
    except TimeoutError as error:
        raise StoreUnavailable(f"{uri} gave {error}") from error


def _files(top: str, folder: str | None) -> Iterator[tuple[str, str | None]]:
    """Each file below ``top``, and the folder of the store that it goes to."""
    for path in sorted(Path(top).rglob("*")):
        if path.is_file():
            inside = path.parent.relative_to(top).as_posix()
            parts = [part for part in (folder, inside) if part and part != "."]
            yield str(path), "/".join(parts) or None
