"""What an answer means: a refusal, a failure worth another try, or not MLflow at all."""

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
"""MLflow's error codes that the same request would get again; all others are worth a retry."""

_OF_PAGES = ("BAD_REQUEST", "ENDPOINT_NOT_FOUND")
"""Codes that MLflow's client makes up for an answer that is a web page and no MLflow error."""

_UNHEARD_OF = "dgunet asks whether this is MLflow"
"""An experiment that nobody has: MLflow says so, and only MLflow does."""


class NotMlflowError(mlflow_store.StoreUnavailable):
    """Something answers at the store's address, but not as MLflow does."""


def is_refusal(error: Exception) -> bool:
    """Whether MLflow took the request itself as wrong, so that sending it again cannot help.

    Only MLflow's own error, or one that its client raised without asking, counts: a proxy's or
    another server's page says nothing about the request.
    """
    code = getattr(error, "error_code", "")
    if code not in WRONG:
        return False
    body = getattr(error, "json", None)  # what came over the network
    if isinstance(body, dict):
        return body.get("error_code") == code
    return code not in _OF_PAGES


def is_missing_page(error: Exception) -> bool:
    """Whether a web page came back that says there is nothing at this address."""
    return getattr(error, "error_code", "") == "ENDPOINT_NOT_FOUND" and not is_refusal(error)


def check_is_mlflow(client: Any, uri: object) -> None:
    """Ask for something that does not exist, which shows whether MLflow answers at ``uri``.

    Raises:
        NotMlflowError: if the answer is none of MLflow's.
        Exception: what MLflow's client raises for a server that fails or is away.
    """
    try:
        found = client.get_experiment_by_name(_UNHEARD_OF)
    except (OSError, DgunetError, mlflow_store.StoreUnavailable):
        raise
    except Exception as error:
        if is_refusal(error):
            return
        if _is_strange(error):
            raise _strange(uri) from error
        raise
    if found is not None and found.name != _UNHEARD_OF:
        raise _strange(uri)


def _is_strange(error: Exception) -> bool:
    """Whether what came back is neither MLflow's error nor a server's usual failure."""
    code, body = getattr(error, "error_code", None), getattr(error, "json", None)
    if isinstance(body, dict):
        return not isinstance(body.get("error_code"), str)
    return code in (None, *_OF_PAGES) or "not in a valid JSON format" in str(error)


def own(answer: str | None, expected: str | None, uri: object) -> str:
    """The id that came back, if it is one, and the one asked for.

    Raises:
        NotMlflowError: if it is empty or another.
    """
    if not isinstance(answer, str) or not answer or expected not in (None, answer):
        raise _strange(uri)
    return answer


def _strange(uri: object) -> NotMlflowError:
    return NotMlflowError(
        f"what answers at {uri} does not answer as MLflow does; is it the right address?"
    )
