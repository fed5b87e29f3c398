"""The verdicts on the paper's claims as the HTML report shows them."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any

from dgunet.paper.claims.claim_list import Untestable
from dgunet.paper.claims.claim_text import counts_text, fixed_text, p_text, scale
from dgunet.paper.claims.judgement import JudgedClaim, Judgement, RunBehind
from dgunet.paper.claims.verdicts import VERDICTS, Outcome
from dgunet.paper.report_evidence import ShownClaims

RUN_HEADS = ("evaluation", "run", "commit", "steps", "checkpoint", "data", "per-image metrics")

Address = Callable[[RunBehind], str]
"""The web address of a run, "" without one."""


def shown_claims(judgement: Judgement, address: Address) -> ShownClaims:
    """The tested claims with all numbers and runs, and the others with the reason."""
    order = VERDICTS.index
    tested = sorted(
        (each for each in judgement.claims if each.outcome.effect is not None),
        key=lambda each: order(each.outcome.verdict),
    )
    untested = [each.outcome for each in judgement.claims if each.outcome.effect is None]
    return ShownClaims(
        {str(verdict): count for verdict, count in judgement.counts().items()},
        "",
        scale(judgement),
        [_claim(each, address) for each in tested],
        {
            "heads": ("claim", "place", "missing"),
            "lines": [[o.claim.statement, str(o.claim.place), o.reason] for o in untested],
        },
    )


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
        ("Images", counts_text(outcome.images)),
        ("Trainings", counts_text(outcome.trainings)),
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
