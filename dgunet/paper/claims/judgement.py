"""The verdicts on the claims with what is behind them: runs, commits and scale."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from dgunet.paper.claims.verdicts import VERDICTS, ClaimVerdict, Outcome

UNKNOWN = "unknown"


@dataclass(frozen=True)
class RunBehind:
    """One evaluation behind a verdict, and the run that made it.

    Attributes:
        name: test set, row and ratio.
        run_id: of the MLflow run, or "unknown", as the commit.
        commit: of the run.
        steps: training steps of the network, or "unknown".
        checkpoint_sha256, data_digest, per_image_sha256: of the weights, the prepared set, and the
            per-image table.
    """

    name: str
    run_id: str
    commit: str
    steps: str
    checkpoint_sha256: str
    data_digest: str
    per_image_sha256: str


@dataclass(frozen=True)
class JudgedClaim:
    """A claim's outcome with its provenance.

    Attributes:
        outcome: the verdict and its numbers.
        digest: SHA-256 of the claim.
        commit: that last changed the claim, "not committed" or "unknown".
        fixed: whether the claim was in the commits of its runs as it is now; "" if not tested.
        runs: the evaluations behind it.
    """

    outcome: Outcome
    digest: str
    commit: str
    fixed: str
    runs: tuple[RunBehind, ...]


@dataclass(frozen=True)
class Judgement:
    """The verdicts on all claims.

    Attributes:
        profile: of the results; "none" without any.
        evaluations: number of evaluations read.
        claims: in the order of the file.
    """

    profile: str
    evaluations: int
    claims: tuple[JudgedClaim, ...]

    def counts(self) -> dict[ClaimVerdict, int]:
        """The number of claims with each verdict."""
        found = Counter(each.outcome.verdict for each in self.claims)
        return {verdict: found[verdict] for verdict in VERDICTS}
