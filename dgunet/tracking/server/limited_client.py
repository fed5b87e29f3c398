"""MLflow's client with a time limit for each complete answer."""

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
"""Maximum number of requests of one call; each may take ``MLFLOW_HTTP_REQUEST_TIMEOUT`` seconds."""

HURRY_SECONDS = 4.0
"""Time limit of each call within `short_time_limit`."""

_hurry = False


@contextmanager
def short_time_limit() -> Iterator[None]:
    """Within the block, limit each call to `HURRY_SECONDS`, because the process must end soon."""
    global _hurry
    before, _hurry = _hurry, True
    try:
        yield
    finally:
        _hurry = before


def _seconds() -> float:
    return REQUESTS * environment.MLFLOW_TIMEOUT.get() * (1 + environment.MLFLOW_RETRIES.get())


class Limited:
    """An ``MlflowClient`` whose methods raise `StoreUnavailable` after a time limit.

    An abandoned call may still take effect, so every request must be safe to repeat.

    Args:
        client: the client.
        uri: of its store, for messages.
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
        """Upload the files of a folder one by one, so that the time limit holds for each file."""
        for path, folder in _files(local_dir, artifact_path):
            self.log_artifact(run_id, path, folder)

    def log_model_artifacts(self, model_id: str, local_dir: str) -> None:
        """Upload the files of a model as `log_artifacts` does."""
        for path, folder in _files(local_dir, None):
            self.log_model_artifact(model_id, path, folder)


def limited(work: Callable[[], Any], uri: Address, seconds: float) -> Any:
    """The result of ``work``.

    Raises:
        StoreUnavailable: after ``seconds``, or `HURRY_SECONDS` within `short_time_limit`.
    """
    try:
        return within(lambda: min(seconds, HURRY_SECONDS) if _hurry else seconds, work)
    except TimeoutError as error:
        raise StoreUnavailable(f"{uri}: {error}") from error


def _files(top: str, folder: str | None) -> Iterator[tuple[str, str | None]]:
    """Each file below ``top``, with its target folder in the store."""
    for path in sorted(Path(top).rglob("*")):
        if path.is_file():
            inside = path.parent.relative_to(top).as_posix()
            parts = [part for part in (folder, inside) if part and part != "."]
            yield str(path), "/".join(parts) or None
