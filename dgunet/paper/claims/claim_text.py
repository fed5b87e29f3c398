"""The verdicts on the paper's claims for people and programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any

from dgunet.paper.claims.claim_list import Claim, Untestable
from dgunet.paper.claims.judgement import JudgedClaim, Judgement

SAMPLE = (
    "SAMPLE: tiny networks, trained for seconds on a few crops. These verdicts are about the "
    "sample only. They say nothing about the paper."
)
NOT_THE_PAPERS = (
    "NOT THE PAPER'S SCALE: networks and trainings of the profile {0.profile} are smaller. These "
    "verdicts are about them only, above all those beside a printed mean."
)
ONE_TRAINING = "One training of a network: variation between trainings is not covered."


def facts(judged: JudgedClaim) -> dict[str, Any]:
    """A claim, its verdict and its numbers, as one flat row; None for no number or infinity."""
    outcome, claim = judged.outcome, judged.outcome.claim
    tested = None if isinstance(claim, Untestable) else claim
    return {
        "claim": claim.id,
        "verdict": outcome.verdict,
        "statement": claim.statement,
        "place": str(claim.place),
        "test": claim.test,
        "claimed_db": tested.size if tested else None,
        "smallest_effect_db": tested.smallest_effect if tested else None,
        "effect_db": outcome.effect,
        "low_db": _finite(outcome.low),
        "high_db": _finite(outcome.high),
        "claimed_size": outcome.claimed,
        "p": outcome.p,
        "p_holm": outcome.p_holm,
        "detectable_db": _finite(outcome.detectable),
        "images": counts_text(outcome.images),
        "trainings": counts_text(outcome.trainings),
        "steps": ", ".join(dict.fromkeys(run.steps for run in judged.runs)),
        "reason": outcome.reason,
        "notes": "; ".join(outcome.notes),
        "fixed": judged.fixed,
        "claim_commit": judged.commit,
        "claim_sha256": judged.digest,
        "runs": " ".join(dict.fromkeys(run.run_id for run in judged.runs)),
    }


def as_json(judgement: Judgement) -> dict[str, Any]:
    """Everything, for a program."""
    from dataclasses import asdict

    return {
        "profile": judgement.profile,
        "evaluations": judgement.evaluations,
        "about": scale(judgement),
        "verdicts": judgement.counts(),
        "claims": [
            facts(judged) | {"runs": [asdict(run) for run in judged.runs]}
            for judged in judgement.claims
        ],
    }


def scale(judgement: Judgement) -> list[str]:
    """The scale that was run, one sentence a line; loud for the sample."""
    steps = sorted({run.steps for each in judgement.claims for run in each.runs}, key=_natural)
    trainings = {
        count for each in judgement.claims for count in (each.outcome.trainings or {}).values()
    }
    lines = []
    if judgement.profile not in ("paper", "none"):
        lines = [SAMPLE if judgement.profile == "sample" else NOT_THE_PAPERS.format(judgement)]
    lines.append(
        f"At the scale that was run: profile {judgement.profile}, {judgement.evaluations} "
        "evaluations"
        + (f", training steps {', '.join(steps)}" if steps else "")
        + (f", trainings per network {_range(trainings)}" if trainings else "")
        + "."
    )
    if 1 in trainings:
        lines.append(ONE_TRAINING)
    return lines


def as_text(judgement: Judgement) -> str:
    """For the terminal: a few lines for each claim, tested ones first."""
    counts = ", ".join(f"{count} {verdict}" for verdict, count in judgement.counts().items())
    ordered = sorted(judgement.claims, key=lambda each: each.outcome.effect is None)
    blocks = ["\n".join([*scale(judgement), f"{len(judgement.claims)} claims: {counts}"])]
    blocks += ["\n".join(_block(each)) for each in ordered]
    return "\n\n".join(blocks)


def as_markdown(judgement: Judgement) -> str:
    """A table for a page, one line for each claim."""
    head = (
        *("Claim", "Place", "Claimed, dB", "Measured, dB", "95 % interval", "p (Holm)"),
        *("Detectable, dB", "Verdict", "Claim fixed"),
    )
    table = markdown_table(head, map(_cells, judgement.claims))
    return "\n\n".join([*scale(judgement), table])


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with one line for each of ``rows``."""
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def list_as_markdown(claims: tuple[Claim, ...]) -> str:
    """The claims without verdicts, one line each."""
    head = ("Claim", "Place", "Test", "Claimed, dB", "Smallest that matters, dB, and why")
    rows = []
    for claim in claims:
        size, smallest = "", claim.missing if isinstance(claim, Untestable) else ""
        if not isinstance(claim, Untestable):
            size = f"{claim.size:g}"
            smallest = f"{claim.smallest_effect:g}: {claim.reason}"
        name = f"{claim.statement} `{claim.id}`"
        place = f'{claim.place}, {claim.place.sentence}: "{claim.words}"'
        rows.append((name, place, claim.test, size, smallest))
    return markdown_table(head, rows)


def _block(judged: JudgedClaim) -> list[str]:
    outcome, claim = judged.outcome, judged.outcome.claim
    lines = [f"{outcome.verdict:17}  {claim.id}  ({claim.place})", f"    {claim.statement}"]
    if outcome.effect is None or isinstance(claim, Untestable):
        return [*lines, f"    missing: {outcome.reason}"]
    lines += [
        f"    claimed {claim.size:+.3f} dB; only above {claim.smallest_effect:g} dB it matters "
        f"({claim.reason})",
        f"    measured {outcome.effect:+.3f} dB, 95 % interval {outcome.low:+.3f} to "
        f"{outcome.high:+.3f}; the claimed size is {outcome.claimed}",
        f"    p {p_text(outcome.p)}, {p_text(outcome.p_holm)} after Holm's correction; detectable "
        f"with a probability of 80 %: {outcome.detectable:.3f} dB",
        f"    images: {counts_text(outcome.images)}; trainings: {counts_text(outcome.trainings)}",
        *(f"    note: {note}" for note in outcome.notes),
        f"    {fixed_text(judged)}",
    ]
    for run in judged.runs:
        lines.append(
            f"    run {run.run_id} of {run.name}: commit {run.commit[:12]}, steps {run.steps}, "
            f"checkpoint {run.checkpoint_sha256[:12]}, data {run.data_digest[:12]}"
        )
    return lines


def fixed_text(judged: JudgedClaim) -> str:
    """Whether the claim was fixed before the runs that judge it, in one phrase."""
    if judged.fixed == "changed after its runs":
        return f"CHANGED AFTER ITS RUNS: the claim's commit is {judged.commit[:12]}"
    if judged.fixed == "unknown":
        return "unknown whether the claim was fixed before its runs: git does not tell"
    return f"the claim was fixed before its runs, in commit {judged.commit[:12]}"


def _cells(judged: JudgedClaim) -> list[str]:
    outcome, claim = judged.outcome, judged.outcome.claim
    size = "" if isinstance(claim, Untestable) else f"{claim.size:g}"
    start = [f"{claim.statement} `{claim.id}`", str(claim.place), size]
    if outcome.effect is None:
        return [*start, "", "", "", "", f"{outcome.verdict}: {outcome.reason}", ""]
    numbers = [f"{outcome.effect:+.3f}", f"{outcome.low:+.3f} to {outcome.high:+.3f}"]
    numbers += [p_text(outcome.p_holm), f"{outcome.detectable:.3f}"]
    return [*start, *numbers, outcome.verdict, judged.fixed]


def counts_text(counts: dict[str, int] | None) -> str:
    """Counts by name in one line, such as "Rain100H 100, Rain100L 100"; "" for None."""
    return ", ".join(f"{name} {count}" for name, count in (counts or {}).items())


def _finite(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None


def p_text(value: float | None) -> str:
    """A p-value with four decimals, "" for None."""
    return "" if value is None else f"{value:.4f}"


def _range(values: set[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


def _natural(text: str) -> tuple[bool, int, str]:
    return not text.isdigit(), int(text) if text.isdigit() else 0, text
