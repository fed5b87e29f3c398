"""What the HTML report says first: the verdicts in short, the paper's claims, and the charts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, get_args

from dgunet.paper.claims.claim_list import Untestable
from dgunet.paper.claims.claim_text import counts_text as named_counts
from dgunet.paper.claims.claim_text import fixed_text, p_text, scale
from dgunet.paper.claims.judgement import JudgedClaim, Judgement, RunBehind
from dgunet.paper.claims.verdicts import VERDICTS, Outcome
from dgunet.paper.generated_table import GeneratedTable
from dgunet.paper.known_verdicts import GROUPS, count_groups, counts_text, line_of
from dgunet.paper.result_charts import result_charts
from dgunet.paper.training_charts import TrainingCurves, training_charts
from dgunet.paper.twins import Twin, TwinState
from dgunet.paper.verdict_lines import judged_cells
from dgunet.system.files import sha256_json

NOT_JUDGED = "They were not judged for this page; `dgunet report` and `dgunet claims` judge them."

RUN_HEADS = ("evaluation", "run", "commit", "steps", "checkpoint", "data", "per-image metrics")

Address = Callable[[RunBehind], str]
"""The web address of a run, "" without one."""


@dataclass(frozen=True)
class ReportEvidence:
    """What the report shows besides tables, twins and images.

    Attributes:
        judgement: the verdicts on the claims; None if they were not judged.
        reason: why they were not.
        curves: of the trainings.
        results: ``per_image_sha256`` of the evaluations behind the page.
    """

    judgement: Judgement | None = None
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
    judgement = evidence.judgement
    by_table = [(str(table.number), f"#table{table.number}", _groups([table])) for table in tables]
    states = Counter(twin.state for twin in twins)
    claims = {str(v): n for v, n in judgement.counts().items()} if judgement else None
    return {
        "groups": GROUPS,
        "tables": by_table,
        "all": _groups(tables),
        "cells": counts_text(_groups(tables)),
        "count": sum(_groups(tables).values()),
        "twins": counts_text({state: states[state] for state in get_args(TwinState)}),
        "corrected": states["corrected"],
        "claims": counts_text(claims) if claims else "",
        "claims_count": len(judgement.claims) if judgement else 0,
        "scale": scale(judgement) if judgement else [],
        "reason": evidence.reason,
        "facts": json.dumps(
            {
                "claims": claims,
                "evaluations": len(set(evidence.results)),
                "results": digest_of_results(evidence.results),
            }
        ),
    }


def claims_section(evidence: ReportEvidence, address: Address) -> dict[str, Any]:
    """The tested claims with all numbers and runs, and the others with the reason."""
    judgement = evidence.judgement
    if judgement is None:
        return {"reason": evidence.reason, "scale": [], "tested": [], "untested": {}}
    order = VERDICTS.index
    tested = sorted(
        (each for each in judgement.claims if each.outcome.effect is not None),
        key=lambda each: order(each.outcome.verdict),
    )
    untested = [each.outcome for each in judgement.claims if each.outcome.effect is None]
    return {
        "reason": "",
        "scale": scale(judgement),
        "tested": [_claim(each, address) for each in tested],
        "untested": {
            "heads": ("claim", "place", "missing"),
            "lines": [[o.claim.statement, str(o.claim.place), o.reason] for o in untested],
        },
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
    address: Address,
) -> dict[str, dict[str, Any]]:
    """What the templates of this module need, by name."""
    return {
        "known": known_section(tables, twins, evidence),
        "claims": claims_section(evidence, address),
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


def _claim(judged: JudgedClaim, address: Address) -> dict[str, Any]:
    outcome = judged.outcome
    return {
        "verdict": outcome.verdict,
        "statement": outcome.claim.statement,
        "place": str(outcome.claim.place),
        "short": f"measured {_db(outcome.effect)}, interval {_interval(outcome)}, "
        f"claimed {_claimed(outcome)}",
        "late": judged.fixed == "changed after its runs",
        "facts": [(name, value) for name, value in _facts(judged) if value],
        "heads": RUN_HEADS,
        "runs": [_run(run, address(run)) for run in judged.runs],
    }


def _facts(judged: JudgedClaim) -> list[tuple[str, str]]:
    outcome, claim = judged.outcome, judged.outcome.claim
    smallest = (
        "" if isinstance(claim, Untestable) else f"{claim.smallest_effect:g} dB: {claim.reason}"
    )
    return [
        ("Claim", claim.id),
        ("Place", f'{claim.place}, {claim.place.sentence}: "{claim.words}"'),
        ("Test", claim.test),
        ("Claimed", _claimed(outcome)),
        ("Smallest effect that matters", smallest),
        ("Measured effect", _db(outcome.effect)),
        ("Interval of 95 %", _interval(outcome)),
        ("Claimed size", str(outcome.claimed or "")),
        ("p", p_text(outcome.p)),
        ("p after Holm's correction", p_text(outcome.p_holm)),
        ("Detectable with 80 %", _db(outcome.detectable)),
        ("Images", named_counts(outcome.images)),
        ("Trainings", named_counts(outcome.trainings)),
        ("Limits", "; ".join(outcome.notes)),
        ("When it was fixed", fixed_text(judged)),
        ("SHA-256 of the claim", judged.digest),
    ]


def _run(run: RunBehind, address: str) -> dict[str, Any]:
    rest = (run.commit, run.steps, run.checkpoint_sha256, run.data_digest, run.per_image_sha256)
    return {"name": run.name, "id": run.run_id, "address": address, "rest": rest}


def _db(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:+.3f} dB" if isfinite(value) else "unbounded"


def _claimed(outcome: Outcome) -> str:
    claim = outcome.claim
    return "" if isinstance(claim, Untestable) else f"{claim.size:+.3f} dB"


def _interval(outcome: Outcome) -> str:
    return "" if outcome.low is None else f"{_db(outcome.low)} to {_db(outcome.high)}"
