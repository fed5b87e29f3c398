"""Selecting, sorting and comparing runs, and the addresses of MLflow's UI for them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from dgunet.system.address import redact
from dgunet.tracking.index import RunInfo

LOCAL_UI = "http://127.0.0.1:5000"
"""Address at which ``make mlflow`` serves a local store."""

DIFFERENT_IN_EVERY_RUN = (
    "name",
    "status",
    "mlflow.runName",
    "host",
    "pid",
    "dvc.stage",
    "experiment",
)
"""Facts that a comparison of runs omits."""


@dataclass(frozen=True)
class RunQuery:
    """Criteria for runs; an empty field matches all.

    Attributes:
        table: number of a table of the paper; a run may belong to several.
        facts: required values of tags, parameters, ``name`` or ``status``.
    """

    table: int | None = None
    facts: Mapping[str, str] = field(default_factory=dict)

    def matches(self, info: RunInfo) -> bool:
        """Whether the run meets all criteria."""
        known = info.facts()
        tables = info.tags.get("table", "").split()
        return (
            self.table is None
            or str(self.table) in tables
            or f"/table-{self.table}-" in info.experiment
        ) and all(str(known.get(key, "")) == value for key, value in self.facts.items())


def select_runs(infos: Iterable[RunInfo], query: RunQuery, *, sort: str = "") -> list[RunInfo]:
    """The matching runs in their order, or sorted by ``sort`` with the highest number first."""
    chosen = [info for info in infos if query.matches(info)]
    if not sort:
        return chosen

    def sort_key(info: RunInfo) -> tuple[bool, float, str]:
        value = info.facts().get(sort)
        try:
            return value is None, -float(value or 0), ""
        except ValueError:
            return False, 0.0, str(value)

    return sorted(chosen, key=sort_key)


def latest_finished(infos: Iterable[RunInfo]) -> list[RunInfo]:
    """The last finished run of each name in each experiment."""
    kept = {(i.experiment, i.name): i for i in infos if i.status == "FINISHED"}
    return list(kept.values())


def differing_facts(infos: Sequence[RunInfo]) -> list[tuple[str, list[Any]]]:
    """The facts in which the runs differ: name, and the values in the order of the runs."""
    facts = [info.facts() for info in infos]
    names = dict.fromkeys(name for known in facts for name in known)
    lines = [(name, [known.get(name) for known in facts]) for name in names]
    return [
        (name, values)
        for name, values in lines
        if name not in DIFFERENT_IN_EVERY_RUN and len({str(value) for value in values}) > 1
    ]


def run_url(info: RunInfo) -> str | None:
    """Address of the page of a run; None if MLflow does not have it."""
    if info.run_id is None:
        return None
    return f"{_ui(info)}/experiments/{info.experiment_id}/runs/{info.run_id}"


def charts_url(info: RunInfo) -> str | None:
    """Address of the charts of all runs with the same step, campaign and experiment."""
    if info.experiment_id is None:
        return None
    search = f"tags.campaign = '{info.campaign}' and tags.stage = '{info.stage}'"
    query = f"searchFilter={quote(search)}&compareRunsMode=CHART"
    return f"{_ui(info)}/experiments/{info.experiment_id}/runs?{query}"


def compare_url(infos: Sequence[RunInfo]) -> str | None:
    """Address of MLflow's comparison of these runs; None for fewer than two runs."""
    known = [info for info in infos if info.run_id is not None]
    if len(known) < 2:
        return None
    experiments = sorted({str(info.experiment_id) for info in known})
    runs = quote(json.dumps([info.run_id for info in known], separators=(",", ":")))
    return (
        f"{_ui(known[0])}/compare-runs?runs={runs}"
        f"&experiments={quote(json.dumps(experiments, separators=(',', ':')))}"
    )


def _ui(info: RunInfo) -> str:
    web = info.tracking_uri.startswith("http")
    server = redact(info.tracking_uri) if web else LOCAL_UI  # an old index may contain secrets
    return f"{server.rstrip('/')}/#"
