"""The verdict on a cell: how our mean compares with the published value, and by which tolerance.

Our mean in full precision is compared with the printed value. The paper rounded its value, so half
a unit of the last printed digit is added to the tolerance; ours is never rounded:

    excess = max(0, |ours - printed| - half a unit)

    reproduced    excess <= tolerance
    close         excess <= CLOSE x tolerance
    differs       otherwise; the sign of the difference tells the direction

The interval of our mean is shown and decides nothing. Both means are of the same images,
so the spread over the images is in both: on the 11 images of Set11 the interval is several dB wide,
and would call any result close.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from dgunet.terms import CellState, CellVerdict, Weights

CLOSE = 3
"""Multiple of the tolerance up to which a value is close."""

Metric = Literal["PSNR", "SSIM"]
Position = tuple[str, str, int | None, str]
"""Test set ("Average" for Table 1's average), row, ratio in percent or None, and metric."""


class Tolerance(NamedTuple):
    """A tolerance in units of the metric (dB, or SSIM), as written, and the reason for it."""

    text: str
    reason: str

    @property
    def value(self) -> float:
        """The tolerance as a number."""
        return float(self.text)


def _both(psnr: str, ssim: str, reason: str) -> dict[Metric, Tolerance]:
    return {"PSNR": Tolerance(psnr, reason), "SSIM": Tolerance(ssim, reason)}


TOLERANCES: dict[Weights, dict[Metric, Tolerance]] = {
    "released": _both(
        "0.01",
        "0.001",
        "released weights under the published protocol: the same numbers computed again, so that "
        "only floating-point arithmetic and image decoders differ",
    ),
    "trained": _both("0.1", "0.01", "retrained; the seed spread was not measured: assumed"),
    "other": _both("0.1", "0.01", "weights of unknown origin; as for retrained ones: assumed"),
}
"""Tolerances by origin of the weights and metric; a measured seed spread replaces "trained"."""


class SeedSpread(BaseModel):
    """The measured seed spread of one cell; `seed_spread.yaml` explains the fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    dataset: str
    row: str
    ratio: int | None
    metric: Metric
    spread: Annotated[float, Field(gt=0)]
    seeds: Annotated[int, Field(ge=2)]
    source: Annotated[str, Field(min_length=1)]

    @property
    def position(self) -> Position:
        """The cell that it belongs to."""
        return self.dataset, self.row, self.ratio, self.metric

    def tolerance(self) -> Tolerance:
        """The spread as a tolerance."""
        reason = f"retrained; spread of {self.seeds} seeds, measured: {self.source}"
        return Tolerance(repr(self.spread), reason)


Spreads = dict[Position, SeedSpread]


@cache
def seed_spreads() -> Spreads:
    """The measured seed spreads of `seed_spread.yaml`, by cell."""
    content = yaml.safe_load(
        files(__package__).joinpath("seed_spread.yaml").read_text(encoding="utf-8")
    )
    return {spread.position: spread for spread in _SPREADS.validate_python(content)}


_SPREADS = TypeAdapter(list[SeedSpread])


def tolerance_of(weights: Weights, position: Position, spreads: Spreads) -> Tolerance:
    """The tolerance of the cell at ``position`` for weights of this origin."""
    if weights == "trained" and position in spreads:
        return spreads[position].tolerance()
    metric: Metric = "PSNR" if position[-1] == "PSNR" else "SSIM"
    return TOLERANCES[weights][metric]


@dataclass(frozen=True)
class Judgement:
    """The verdict on one of our cells.

    Attributes:
        verdict: see `dgunet.terms.CellVerdict`.
        difference: our value minus the published one, in units of the metric; None unless the two
            are compared.
        tolerance: that decided, without the half unit; None unless the two are compared.
        reason: the reason for the tolerance, otherwise "".
    """

    verdict: CellVerdict
    difference: float | None = None
    tolerance: float | None = None
    reason: str = ""


def judge(
    state: CellState, value: float | None, printed: str | None, tolerance: Tolerance
) -> Judgement:
    """The verdict on a cell of the paper profile.

    Args:
        state: of the cell; only a measured one is compared.
        value: our mean in full precision.
        printed: the published value as printed; None or "-" where the paper has none.
        tolerance: from `tolerance_of`.
    """
    if state == "sample":
        return Judgement("not comparable")
    if state in ("partial", "infinite", "not run", "waiting for the server"):
        return Judgement(state)
    if value is None or printed in (None, "-"):
        return Judgement("no published value")
    assert printed is not None
    return Judgement(
        compare(value, printed, tolerance.text),
        float(Fraction(value) - Fraction(printed)),
        tolerance.value,
        tolerance.reason,
    )


def compare(value: float, printed: str, tolerance: str) -> CellVerdict:
    """Compare our mean with a printed value, in exact arithmetic.

    >>> compare(37.434, "37.42", "0.01"), compare(37.436, "37.42", "0.01")
    ('reproduced', 'close')
    """
    half_unit = Fraction(1, 2 * 10 ** len(printed.partition(".")[2]))
    excess = abs(Fraction(value) - Fraction(printed)) - half_unit
    if excess <= Fraction(tolerance):
        return "reproduced"
    return "close" if excess <= CLOSE * Fraction(tolerance) else "differs"
