"""Classification of answers: rejected request, temporary failure, or a server other than MLflow."""

from __future__ import annotations

from typing import Any

from dgunet.system.errors import DgunetError
from dgunet.tracking.server import mlflow_store

WRONG = frozenset(
    {
        "BAD_REQUEST",
        "INVALID_PARAMETER_VALUE",
        "INVALID_STATE",
        "NOT_FOUND",
        "RESOURCE_DOES_NOT_EXIST",
        "ENDPOINT_NOT_FOUND",
    }
)
"""MLflow error codes that a repeated request would get again; all others may be temporary."""

_OF_PAGES = ("BAD_REQUEST", "ENDPOINT_NOT_FOUND")
"""Codes that MLflow's client also assigns to a web page that is not an MLflow error."""

_NO_EXPERIMENT = "dgunet asks whether this is MLflow"
"""Name of an experiment that does not exist; only MLflow reports it as missing."""


class NotMlflowError(mlflow_store.StoreUnavailable):
    """The server at the store's address is not an MLflow server."""


def is_refusal(error: Exception) -> bool:
    """Whether MLflow rejected the request as invalid, so that repeating it cannot help.

    Only an error of MLflow itself, or one that its client raised before sending, counts. A web page
    from a proxy or another server does not count.
    """
    code = getattr(error, "error_code", "")
    if code not in WRONG:
        return False
    body = getattr(error, "json", None)  # the server's answer
    if isinstance(body, dict):
        return body.get("error_code") == code
    return code not in _OF_PAGES


def is_missing_page(error: Exception) -> bool:
    """Whether the answer is a "not found" web page instead of an MLflow error."""
    return getattr(error, "error_code", "") == "ENDPOINT_NOT_FOUND" and not is_refusal(error)


def check_is_mlflow(client: Any, uri: object) -> None:
    """Ask for an experiment that does not exist, to find out whether MLflow answers at ``uri``.

    Raises:
        NotMlflowError: if the answer is not from MLflow.
        Exception: from MLflow's client, if the server fails or does not answer.
    """
    try:
        found = client.get_experiment_by_name(_NO_EXPERIMENT)
    except (OSError, DgunetError, mlflow_store.StoreUnavailable):
        raise
    except Exception as error:
        if is_refusal(error):
            return
        if _is_foreign(error):
            raise _not_mlflow(uri) from error
        raise
    if found is not None and found.name != _NO_EXPERIMENT:
        raise _not_mlflow(uri)


def _is_foreign(error: Exception) -> bool:
    """Whether the answer is neither an MLflow error nor an ordinary server failure."""
    code, body = getattr(error, "error_code", None), getattr(error, "json", None)
    if isinstance(body, dict):
        return not isinstance(body.get("error_code"), str)
    return code in (None, *_OF_PAGES) or "not in a valid JSON format" in str(error)


def checked_id(answer: str | None, expected: str | None, uri: object) -> str:
    """Return the id in an answer after checking it; any id is valid if ``expected`` is None.

    Raises:
        NotMlflowError: if it is empty or differs from ``expected``.
    """
    if not isinstance(answer, str) or not answer or expected not in (None, answer):
        raise _not_mlflow(uri)
    return answer


def _not_mlflow(uri: object) -> NotMlflowError:
    return NotMlflowError(f"the server at {uri} is not an MLflow server; check the address")
