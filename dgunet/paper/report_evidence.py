"""What the HTML report says first: the verdicts in short, the paper's claims, and the charts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from dgunet.paper.generated_table import GeneratedTable
from dgunet.paper.known_verdicts import GROUPS, count_groups, counts_text, line_of
from dgunet.paper.result_charts import result_charts
from dgunet.paper.training_charts import TrainingCurves, training_charts
from dgunet.paper.twins import Twin, TwinState
from dgunet.paper.verdict_lines import judged_cells
from dgunet.system.files import sha256_json

NOT_JUDGED = "They were not judged for this page; `dgunet report` and `dgunet claims` judge them."


@dataclass(frozen=True)
class JudgedStatements:
    """The verdicts on the paper's claims as plain data.

    The page is part of the tables' run, and an edit of the claims must not make the tables again:
    this module therefore imports nothing of them; `dgunet.paper.claims.claim_page` makes it.

    Attributes:
        counts: number of claims by verdict.
        scale: the scale that was run, one sentence each.
        tested: for each tested claim what the template shows.
        untested: statement, place and what is missing for each of the others.
    """

    counts: Mapping[str, int]
    scale: Sequence[str] = ()
    tested: Sequence[Mapping[str, Any]] = ()
    untested: Sequence[Sequence[str]] = ()


@dataclass(frozen=True)
class ReportEvidence:
    """What the report shows besides tables, twins and images.

    Attributes:
        judged: the verdicts on the claims; None if they were not judged.
        reason: why they were not.
        curves: of the trainings.
        results: ``per_image_sha256`` of the evaluations behind the page.
    """

    judged: JudgedStatements | None = None
    reason: str = NOT_JUDGED
    curves: TrainingCurves = field(default_factory=TrainingCurves)
    results: Sequence[str] = ()


def digest_of_results(results: Sequence[str]) -> str:
    """One SHA-256 for evaluations in any order, by their ``per_image_sha256``."""
    return sha256_json(sorted(set(results)))


def known_section(
    tables: Sequence[GeneratedTable], twins: Sequence[Twin], evidence: ReportEvidence
) -> dict[str, Any]:
    """The summary "What is known": counts of cells, twins and claims, for people and programs."""
    judged = evidence.judged
    by_table = [(str(table.number), f"#table{table.number}", _groups([table])) for table in tables]
    states = Counter(twin.state for twin in twins)
    claims = dict(judged.counts) if judged else None
    return {
        "groups": GROUPS,
        "tables": by_table,
        "all": _groups(tables),
        "cells": counts_text(_groups(tables)),
        "count": sum(_groups(tables).values()),
        "twins": counts_text({state: states[state] for state in get_args(TwinState)}),
        "corrected": states["corrected"],
        "claims": counts_text(claims) if claims else "",
        "claims_count": sum(claims.values()) if claims else 0,
        "scale": judged.scale if judged else [],
        "reason": evidence.reason,
        "facts": json.dumps(
            {
                "claims": claims,
                "evaluations": len(set(evidence.results)),
                "results": digest_of_results(evidence.results),
            }
        ),
    }


def statements_section(evidence: ReportEvidence) -> dict[str, Any]:
    """The tested claims, and a table of the others."""
    judged = evidence.judged
    if judged is None:
        return {"reason": evidence.reason, "scale": [], "tested": [], "untested": {}}
    untested = {"heads": ("claim", "place", "missing"), "lines": judged.untested}
    return {
        "reason": "",
        "scale": judged.scale,
        "tested": judged.tested,
        "untested": untested,
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
) -> dict[str, dict[str, Any]]:
    """What the templates of this module need, by name."""
    return {
        "known": known_section(tables, twins, evidence),
        "claims": statements_section(evidence),
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
