"""Selecting, sorting and comparing runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dgunet.terms import TABLE_TAG
from dgunet.tracking.index import RunInfo

DIFFERENT_IN_EVERY_RUN = (
    "name",
    "status",
    "mlflow.runName",
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
        tables = info.tags.get(TABLE_TAG, "").split()
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
