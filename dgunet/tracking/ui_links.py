"""Addresses of pages in MLflow's user interface.

The interface is a single page: the path and its query stand behind ``#``. Without
``workflowType=machine_learning`` it opens an experiment on its page for language models.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from urllib.parse import quote, urlencode

from dgunet.system.address import redact
from dgunet.tracking.home import TrackingFolders
from dgunet.tracking.index import RunInfo
from dgunet.tracking.ui_port import ui_port

CHARTS = {"compareRunsMode": "CHART"}
"""The part of a query that opens the charts of the runs instead of their table."""

VIEW_KEY = "viewStateShareKey"
"""The part of a query that opens a saved view."""


def page(path: str, **query: str) -> str:
    """The part of an address behind the server: ``#``, the path, and the query.

    >>> page("experiments/3/runs", compareRunsMode="CHART")
    '#/experiments/3/runs?compareRunsMode=CHART&workflowType=machine_learning'
    """
    # MLflow's page for the comparison of runs finds ``runs`` only at the beginning.
    return f"#/{path}?{urlencode(query | {'workflowType': 'machine_learning'}, quote_via=quote)}"


def server_address(store: object, folders: TrackingFolders | None = None) -> str:
    """Address of the user interface of a store, without user and password.

    A server has its own; every other store is served by ``dgunet tracking ui``, on the port that it
    used last in this project.

    Args:
        store: address of the store.
        folders: of the project; default: the one of the working directory.
    """
    if str(store).startswith(("http://", "https://")):
        return redact(str(store)).rstrip("/")  # an old index may contain secrets
    return f"http://127.0.0.1:{ui_port(folders or TrackingFolders.at())}"


def experiments_url(folders: TrackingFolders) -> str:
    """Address of the list of experiments in the project's store."""
    return f"{server_address(folders.uri, folders)}/{page('experiments')}"


def view_page(experiment_id: str, view: str, **query: str) -> str:
    """The page of a saved view of an experiment; see `page`."""
    return page(f"experiments/{experiment_id}/runs", **{VIEW_KEY: view}, **query)


def run_url(info: RunInfo, folders: TrackingFolders | None = None) -> str | None:
    """Address of the page of a run; None if MLflow does not have it."""
    if info.run_id is None:
        return None
    return _on_server(info, folders, page(f"experiments/{info.experiment_id}/runs/{info.run_id}"))


def charts_url(info: RunInfo, folders: TrackingFolders | None = None) -> str | None:
    """Address of the charts of all runs with the same step, campaign and experiment."""
    if info.experiment_id is None:
        return None
    search = f"tags.campaign = '{info.campaign}' and tags.stage = '{info.stage}'"
    path = f"experiments/{info.experiment_id}/runs"
    return _on_server(info, folders, page(path, searchFilter=search, **CHARTS))


def view_url(info: RunInfo, view: str, folders: TrackingFolders | None = None) -> str | None:
    """Address of a saved view of the run's experiment; None if MLflow does not have the run."""
    if info.experiment_id is None:
        return None
    return _on_server(info, folders, view_page(info.experiment_id, view))


def compare_url(infos: Sequence[RunInfo], folders: TrackingFolders | None = None) -> str | None:
    """Address of MLflow's comparison of these runs; None for fewer than two runs."""
    known = [info for info in infos if info.run_id is not None]
    if len(known) < 2:
        return None
    runs = _json(info.run_id for info in known)
    experiments = _json(sorted({str(info.experiment_id) for info in known}))
    return _on_server(known[0], folders, page("compare-runs", runs=runs, experiments=experiments))


def _json(texts: Iterable[str | None]) -> str:
    return json.dumps(list(texts), separators=(",", ":"))


def _on_server(info: RunInfo, folders: TrackingFolders | None, found: str) -> str:
    return f"{server_address(info.tracking_uri, folders)}/{found}"
