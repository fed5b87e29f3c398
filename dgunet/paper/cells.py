"""One cell of a generated table: its value, state and provenance.

A cell of the paper's table is filled ("measured") only by a run of the paper profile that scored
every image of the benchmark under the protocol at parity with the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import fsum
from typing import Any

from dgunet.data.catalogue.entries import counted
from dgunet.paper.cell_positions import Line, Slot
from dgunet.paper.published import PublishedCell, Rank
from dgunet.paper.summaries import Summary, combined_digest
from dgunet.terms import CellState, CellVerdict, Weights

StateAndReason = tuple[CellState, str]
"""A state and, where it needs one, the reason in a few words."""


@dataclass(frozen=True)
class Provenance:
    """What a value was computed from; None where there is no run.

    ``key`` and ``ratio`` name the result ("DGUNet+", "stages-9"; percent), the digests are
    hexadecimal SHA-256.
    """

    dataset: str | None = None
    key: str | None = None
    ratio: int | None = None
    data_digest: str | None = None
    checkpoint_sha256: str | None = None
    protocol: str | None = None
    protocol_version: str | None = None
    images: int | None = None
    published_images: int | None = None
    per_image_sha256: str | None = None
    selection: str | None = None
    weights: Weights | None = None
    profile: str | None = None


@dataclass(frozen=True)
class Cell:
    """One value of one table.

    Attributes:
        table, row, column, metric: its position.
        source: "published", "reproduced" or "sample".
        value: in full precision (PSNR in dB), or None; an infinite mean is None, with this state.
        shown: what the tables print.
        state: see `CellState`.
        note: the reason for the state where it needs one, otherwise "".
        published: the paper's printed value at the same position; None for a sample's cell.
        rank: bold ("best") or underlined ("second") in the paper.
        reference: the published method's citation number.
        provenance: what the value was computed from.
        verdict: on one of our values, otherwise None; `dgunet.paper.verdicts` has the rule.
        difference: our value minus the published one where the two are compared, otherwise None.
        tolerance, tolerance_reason: that decided, and why; None and "" where nothing is compared.
        low, high, confidence: interval of our mean over the images, and its nominal
            confidence; None without the images' scores, with few images, or for a sample.
    """

    table: int
    row: str
    column: str
    metric: str
    source: Line
    value: float | None
    shown: str
    state: CellState
    note: str = ""
    published: str | None = None
    rank: Rank = ""
    reference: int | None = None
    provenance: Provenance = Provenance()
    verdict: CellVerdict | None = None
    difference: float | None = None
    tolerance: float | None = None
    tolerance_reason: str = ""
    low: float | None = None
    high: float | None = None
    confidence: float | None = None

    def record(self) -> dict[str, Any]:
        """The cell as one flat record, provenance included."""
        content = asdict(self)
        provenance = content.pop("provenance")
        return {**content, **provenance}


def published_cell(table: int, row: str, column: str, printed: PublishedCell) -> Cell:
    """A value as the paper prints it, with the generated table's labels."""
    return Cell(
        table=table,
        row=row,
        column=column,
        metric=printed.metric,
        source="published",
        value=printed.value,
        shown=printed.printed,
        state="published",
        published=printed.printed,
        rank=printed.rank,
        reference=printed.reference,
    )


def absent_cell(table: int, row: str, column: str, metric: str, reference: int | None) -> Cell:
    """A published method's cell in a column that the paper's table does not have."""
    return Cell(
        table=table,
        row=row,
        column=column,
        metric=metric,
        source="published",
        value=None,
        shown="",
        state="not in the paper",
        reference=reference,
    )


def our_cell(
    table: int,
    slot: Slot,
    metric: str,
    line: Line,
    found: Sequence[Summary],
    printed: PublishedCell | None,
    decimals: int,
) -> Cell:
    """One of our values, or the reason why there is none.

    Args:
        found: the available summaries of the slot's test sets, in their order.
        printed: the paper's value at the same position, None where the paper has none.
        decimals: number of decimals in the paper, to which ``shown`` is rounded.
    """
    value = _mean(found, len(slot.datasets), metric)
    state, note = _state_of_cell(found, slot, metric)
    return Cell(
        table=table,
        row=slot.row,
        column=slot.column,
        metric=metric,
        source=line,
        value=value,
        shown=_shown(value, state, note, decimals),
        state=state,
        note=note,
        # A sample's value is not comparable with a published one.
        published=printed.printed if printed and line == "reproduced" else None,
        provenance=_provenance(slot, found),
    )


def _mean(found: Sequence[Summary], expected: int, metric: str) -> float | None:
    values = [value for summary in found if (value := summary.value(metric)) is not None]
    return fsum(values) / expected if expected and len(values) == expected else None


def _state_of_cell(found: Sequence[Summary], slot: Slot, metric: str) -> StateAndReason:
    expected = len(slot.datasets)
    if not found:
        return "not run", ""
    if len(found) < expected:
        return "partial", f"{len(found)} of {expected} sets"
    states = [_state(summary, metric) for summary in found]
    unmeasured = [each for each in states if each[0] not in ("measured", "sample")]
    if unmeasured and expected > 1 and {state for state, _ in unmeasured} == {"infinite"}:
        each = (
            f"{summary.dataset}: {note}"
            for summary, (state, note) in zip(found, states, strict=True)
            if state == "infinite"
        )
        return "infinite", "; ".join(each)
    if unmeasured:
        return unmeasured[0] if expected == 1 else ("partial", "not all sets are complete")
    if len({(s.checkpoint_sha256, s.protocol, s.protocol_version) for s in found}) > 1:
        return "partial", "the sets differ in checkpoint or protocol"
    return states[0]


def _state(summary: Summary, metric: str) -> StateAndReason:
    if summary.state == "waiting for the server":
        return "waiting for the server", ""
    infinite = metric == "PSNR" and summary.identical > 0
    if summary.value(metric) is None and not infinite:
        return "not run", f"the evaluation has no {metric}"
    same = f"{summary.identical} of {summary.images} images equal the ground truth"
    chosen = f"weights chosen on {summary.chosen_on}" if summary.chosen_on else ""
    if summary.profile == "sample":
        return ("infinite", same) if infinite else ("sample", chosen)
    if not summary.complete or summary.images != summary.published_images:
        missing = summary.images != summary.published_images
        images = counted(summary.dataset, summary.images, summary.published_images, "images")
        return "partial", images if missing else "the data is another release than the benchmark's"
    if not summary.parity:
        return "partial", "not the paper's network and protocol"
    return ("infinite", same) if infinite else (summary.state, chosen)


def _shown(value: float | None, state: CellState, note: str, decimals: int) -> str:
    if state in ("measured", "sample") and value is not None:
        return f"{value:.{decimals}f}"
    return f"{state} ({note})" if state in ("partial", "infinite") and note else state


def _provenance(slot: Slot, found: Sequence[Summary]) -> Provenance:
    dataset = " ".join(slot.datasets)
    if not found:
        return Provenance(dataset=dataset, key=slot.key, ratio=slot.ratio)
    single = len(slot.datasets) == 1
    return Provenance(
        dataset=dataset,
        key=slot.key,
        ratio=slot.ratio,
        data_digest=found[0].data_digest if single else combined_digest(found),
        checkpoint_sha256=_common([s.checkpoint_sha256 for s in found]),
        protocol=_common([s.protocol for s in found]),
        protocol_version=_common([str(s.protocol_version) for s in found]),
        images=sum(s.images for s in found),
        published_images=sum(s.published_images for s in found),
        per_image_sha256=found[0].per_image_sha256 if single else None,
        selection=_common([s.selection for s in found]),
        weights=found[0].weights if len({s.weights for s in found}) == 1 else None,
        profile=found[0].profile,
    )


def _common(values: Sequence[str]) -> str | None:
    return values[0] if len(set(values)) == 1 else None
