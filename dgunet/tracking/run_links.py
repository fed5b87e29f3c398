"""The MLflow runs behind results, for the report and for the metadata of pipelines' artifacts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from dgunet.paper.html_report import RunLink
from dgunet.tracking.home import TrackingFolders
from dgunet.tracking.index import RunInfo, delivered, lookup, pending
from dgunet.tracking.ui_links import run_url


def mlflow_run_facts(sha256: str, home: Path | None = None) -> dict[str, str]:
    """Id and address of the MLflow run that produced the result with this digest; {} if unknown.

    Args:
        sha256: digest of the result, as ``Run.set_result`` recorded it.
        home: the project folder; default: `project_home`.
    """
    info = lookup(sha256, home)
    if info is None or info.run_id is None:
        return {}
    address = run_url(info, TrackingFolders.at(home)) or ""
    return {"mlflow_run_id": info.run_id, "mlflow_run_url": address}


def run_links(results: Iterable[str], home: Path | None = None) -> dict[str, RunLink]:
    """The run that made each result, by the SHA-256 of its per-image table; asks MLflow as well."""
    return _links(results, home, lambda digest: lookup(digest, home))


def local_run_links(results: Iterable[str], home: Path | None = None) -> dict[str, RunLink]:
    """As `run_links`, from the runs of this project only, without a server."""
    folders = TrackingFolders.at(home)
    made = {
        digest: info
        for info in (*delivered(folders), *pending(folders))
        for digest in info.results.values()
    }
    return _links(results, home, made.get)


def _links(
    results: Iterable[str], home: Path | None, find: Callable[[str], RunInfo | None]
) -> dict[str, RunLink]:
    folders = TrackingFolders.at(home)
    return {
        digest: RunLink(info.run_id, run_url(info, folders), info.commit, info.dirty)
        for digest in results
        if digest and (info := find(digest))
    }
