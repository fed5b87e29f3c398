"""The verdicts on the claims, from evaluations of one profile.

supported      the effect is above the smallest one that matters, after Holm's correction
contradicted   it is below: an effect that matters is excluded
inconclusive   neither is shown; the detectable effect says what the data could have shown
not testable   a result is missing; the reason says which
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from dgunet.paper.claims.claim_list import Claim, Published, Tested, Untestable, printed_sum
from dgunet.paper.claims.effects import Effect, MissingResultError, Result, Results
from dgunet.paper.claims.testing import ALPHA, detectable, holm, p_value
from dgunet.paper.intervals import mean_intervals

ClaimVerdict = Literal["supported", "contradicted", "inconclusive", "not testable here"]
ClaimedSize = Literal["in the interval", "above the interval", "below the interval"]

VERDICTS: tuple[ClaimVerdict, ...] = (
    "supported",
    "contradicted",
    "inconclusive",
    "not testable here",
)


@dataclass(frozen=True)
class Outcome:
    """The verdict on one claim.

    Attributes:
        claim: the claim.
        verdict: see the module.
        reason: the missing result of a claim that is not testable, otherwise "".
        effect: measured effect in dB, in the claimed direction; None if not testable, like all
            that follow.
        low, high: ends of its interval of 95 %, before Holm's correction.
        p, p_holm: two-sided p-value of "the effect is the smallest one that matters", alone and
            after Holm's correction over all claims tested.
        detectable: the effect in dB that the data would have shown with 80 % probability, at the
            strictest level of Holm's correction.
        claimed: where the claimed size lies.
        images: number of images by test set.
        trainings: number of trainings by network.
        results: the evaluations behind it.
    """

    claim: Claim
    verdict: ClaimVerdict
    reason: str = ""
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    detectable: float | None = None
    claimed: ClaimedSize | None = None
    images: dict[str, int] | None = None
    trainings: dict[str, int] | None = None
    results: tuple[Result, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What limits the verdict, for people."""
        if self.effect is None or self.trainings is None:
            return ()
        found = []
        single = [name for name, count in self.trainings.items() if count == 1]
        if single:
            found.append(f"one training of {', '.join(single)}: its variation is not covered")
        if isinstance(self.claim, Published):
            found.append("a printed mean counts as exact, and images do not cancel")
        parts = {r.summary.dataset: r.summary for r in self.results if not r.summary.complete}
        for name, summary in parts.items():
            found.append(f"{name}: {summary.images} of {summary.published_images} images")
        summaries = [result.summary for result in self.results]
        if (count := sum(not summary.parity for summary in summaries)) > 0:
            found.append(f"{count} of {len(summaries)} evaluations are without parity")
        if any("test-set" in summary.selection for summary in summaries):
            found.append("weights were selected on a test set")
        return tuple(found)


def judge_claims(
    claims: Sequence[Claim],
    every: Sequence[Result],
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[Outcome]:
    """Test every claim on the evaluations ``every``; one outcome per claim, in order.

    The same evaluations give the same numbers.

    Args:
        claims: the claims.
        every: the evaluations.
        report: called after every tested claim with the number of tested claims done and of all.

    Raises:
        DataError: if the evaluations cannot be compared; see `Results`.
    """
    results = Results(every)
    effects: dict[str, tuple[Tested, Effect]] = {}
    reasons: dict[str, str] = {}
    for each in claims:
        if isinstance(each, Untestable):
            reasons[each.id] = each.missing
            continue
        try:
            effects[each.id] = each, results.effect(each)
        except MissingResultError as missing:
            reasons[each.id] = str(missing)
    found: dict[str, tuple[float, int]] = {}
    for name, (claim, effect) in effects.items():  # the p-value takes nearly all of the time
        found[name] = p_value(effect.samples, margin(claim))
        report(len(found), len(effects))
    corrected = dict(zip(found, holm([p for p, _ in found.values()]), strict=True))
    strictest = ALPHA / max(1, len(found))
    return [
        _outcome(*effects[each.id], found[each.id], corrected[each.id], strictest)
        if each.id in effects
        else Outcome(each, "not testable here", reasons[each.id])
        for each in claims
    ]


def margin(claim: Tested) -> float:
    """The smallest effect that matters, plus the printed values that our means are compared with.

    The weighted sum of our means is tested against it.
    """
    return claim.smallest_effect + printed_sum(claim)


def verdict_of(side: int, p_holm: float) -> ClaimVerdict:
    """The verdict on a tested claim, by the side of its effect and the corrected p-value."""
    if p_holm > ALPHA or not side:
        return "inconclusive"
    return "supported" if side > 0 else "contradicted"


def _outcome(
    claim: Tested, effect: Effect, test: tuple[float, int], p_holm: float, strictest: float
) -> Outcome:
    p, side = test
    printed = printed_sum(claim)
    batch = [sample[None] for sample in effect.samples]
    (low,), (high,) = mean_intervals(batch, [1.0] * len(batch), 1 - ALPHA)
    low, high = float(low) - printed, float(high) - printed
    return Outcome(
        claim,
        verdict_of(side, p_holm),
        effect=sum(float(sample.mean()) for sample in effect.samples) - printed,
        low=low,
        high=high,
        p=p,
        p_holm=p_holm,
        detectable=claim.smallest_effect + detectable(effect.samples, strictest),
        claimed=_claimed(claim.size, low, high),
        images=effect.images,
        trainings=effect.trainings,
        results=effect.results,
    )


def _claimed(size: float, low: float, high: float) -> ClaimedSize:
    if size > high:
        return "above the interval"
    return "below the interval" if size < low else "in the interval"
