"""What the HTML report says first: the verdicts in short, the paper's claims, and the charts.

The claims arrive as text, because the step `tables` writes this page too, and no step that a result
depends on may reach them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from dgunet.paper.generated_table import GeneratedTable
from dgunet.paper.known_verdicts import (
    GROUPS,
    count_groups,
    counts_text,
    digest_of_results,
    line_of,
)
from dgunet.paper.result_charts import result_charts
from dgunet.paper.training_charts import TrainingCurves, training_charts
from dgunet.paper.twins import Twin, TwinState
from dgunet.paper.verdict_lines import judged_cells

NOT_JUDGED = "They were not judged for this page; `dgunet report` and `dgunet claims` judge them."


@dataclass(frozen=True)
class ShownClaims:
    """The verdicts on the claims as the page shows them.

    Attributes:
        counts: the number of claims with each verdict; None if they were not judged.
        reason: why they were not, else "".
        scale: what was run, one sentence a line.
        tested: the content of each tested claim for the template.
        untested: heads and lines of a table of the others.
    """

    counts: Mapping[str, int] | None = None
    reason: str = NOT_JUDGED
    scale: Sequence[str] = ()
    tested: Sequence[Mapping[str, Any]] = ()
    untested: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ReportEvidence:
    """What the report shows besides tables, twins and images.

    Attributes:
        claims: the verdicts on the claims.
        curves: of the trainings.
        results: ``per_image_sha256`` of the evaluations behind the page.
    """

    claims: ShownClaims = field(default_factory=ShownClaims)
    curves: TrainingCurves = field(default_factory=TrainingCurves)
    results: Sequence[str] = ()


def known_section(
    tables: Sequence[GeneratedTable], twins: Sequence[Twin], evidence: ReportEvidence
) -> dict[str, Any]:
    """The summary "What is known": counts of cells, twins and claims, for people and programs."""
    claims = evidence.claims
    by_table = [(str(table.number), f"#table{table.number}", _groups([table])) for table in tables]
    every = _groups(tables)
    states = Counter(twin.state for twin in twins)
    counts = dict(claims.counts) if claims.counts else None
    return {
        "groups": GROUPS,
        "tables": by_table,
        "all": every,
        "cells": counts_text(every),
        "count": sum(every.values()),
        "twins": counts_text({state: states[state] for state in get_args(TwinState)}),
        "corrected": states["corrected"],
        "claims": counts_text(counts) if counts else "",
        "claims_count": sum(counts.values()) if counts else 0,
        "scale": claims.scale,
        "reason": claims.reason,
        "facts": json.dumps(
            {
                "claims": counts,
                "evaluations": len(set(evidence.results)),
                "results": digest_of_results(evidence.results),
            }
        ),
    }


def charts_section(tables: Sequence[GeneratedTable], evidence: ReportEvidence) -> dict[str, Any]:
    """The charts of results and of trainings, with their drawings; no results without all tables.

    The drawings are made once, however often the page is rendered.
    """
    results = result_charts(tables) if len(tables) == 6 else []
    return {
        "results": [(chart, chart.svg) for chart in results],
        "trainings": [(chart, chart.svg) for chart in training_charts(evidence.curves.curves)],
        "remark": evidence.curves.remark,
    }


def evidence_sections(
    tables: Sequence[GeneratedTable],
    twins: Sequence[Twin],
    evidence: ReportEvidence,
) -> dict[str, Any]:
    """What the templates of this module need, by name."""
    return {
        "known": known_section(tables, twins, evidence),
        "claims": evidence.claims,
        "charts": charts_section(tables, evidence),
    }


def _groups(tables: Sequence[GeneratedTable]) -> dict[str, int]:
    counts = count_groups(
        (cell.verdict, cell.state)
        for table in tables
        for cell in judged_cells([table])
        if cell.verdict and cell.source == line_of(table.profile)
    )
    return {str(group): count for group, count in counts.items()}
