"""The range of values of a result: stated by the user, or taken from the type and reported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from dgunet.imaging.arrays import Array, describe, require_finite
from dgunet.system.errors import ConfigError, EvaluationError

RANGES: dict[str, tuple[float, float]] = {
    "0..1": (0.0, 1.0),
    "0..255": (0.0, 255.0),
    "-1..1": (-1.0, 1.0),
    "0..65535": (0.0, 65535.0),
}
"""The ranges in use, by the text of ``--range``: black and white."""

OVERSHOOT = 0.25
"""How far a network's raw output may leave the range, as a part of its width."""

_LITTLE, _OFTEN = 0.05, 0.01  # more than 1 % of the values beyond 5 % is another range
_EIGHT_BIT = 1e-3


@dataclass
class ValueRange:
    """Converts the values of one side, restored or targets, to a common scale.

    Attributes:
        side: ``restored`` or ``target``, for messages.
        stated: a key of `RANGES`, or None to take the range from the type: floats are in 0..1,
            uint16 in 0..65535.
        note: called once for each type with one line that states the range that was used.
    """

    side: str
    stated: str | None = None
    note: Callable[[str], None] = lambda line: None
    _told: dict[str, object] = field(default_factory=dict)
    _seen: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Refuse a range that is not in `RANGES`."""
        if self.stated is not None and self.stated not in RANGES:
            raise ConfigError(
                f"the range {self.stated!r} is unknown.", f"Choose from {', '.join(RANGES)}."
            )

    def unit(self, values: Array) -> Array:
        """Convert to floats that are 0 for black and 1 for white; uint8 is returned unchanged.

        A small overshoot of floats is kept, since protocols and conventions differ in clipping it.

        Raises:
            EvaluationError: for NaN and infinite values, a type without a range, and values that do
                not fit the range.
        """
        if values.dtype == np.uint8:
            return self._eight_bit(values)
        if values.dtype.kind in "iu":
            return self._integers(values)
        require_finite(self.side, values)
        name = self.stated or "0..1"
        low, high = RANGES[name]
        self._check(values, name)
        self._tell(values, name)
        if (low, high) == (0.0, 1.0):
            return values if values.dtype != np.float16 else values.astype(np.float32)
        return np.asarray((values.astype(np.float64) - low) / (high - low))

    def eight_bit(self, values: Array) -> Array:
        """Convert a target to uint8, which must lose nothing.

        Raises:
            EvaluationError: as `unit`, and for values between the 256 levels.
        """
        scaled = self.unit(values)
        if scaled.dtype == np.uint8:
            return scaled
        levels = scaled.astype(np.float64) * 255.0
        rounded = np.rint(levels)
        worst = float(np.abs(levels - rounded).max()) if levels.size else 0.0
        if worst > _EIGHT_BIT or rounded.min(initial=0) < 0 or rounded.max(initial=0) > 255:
            raise EvaluationError(
                f"the {self.side} image has {describe(values)}, with values up to {worst:.3f} of a "
                "level away from the 256 levels of 8 bits.",
                "Targets are 8-bit images: give the original files, or state the right --range.",
            )
        return rounded.astype(np.uint8)

    def _eight_bit(self, values: Array) -> Array:
        if self.side == "restored" and self.stated not in (None, "0..255"):
            raise EvaluationError(
                f"the restored image has {describe(values)}, whose range is 0..255, but --range is "
                f"{self.stated}.",
                "Leave --range out for 8-bit files.",
            )
        return values

    def _integers(self, values: Array) -> Array:
        top = int(values.max(initial=0))
        name = self.stated or ("0..65535" if values.dtype == np.uint16 and top > 255 else "")
        if not name or name in ("0..1", "-1..1"):
            raise EvaluationError(
                f"the {self.side} image has {describe(values)}, with values from "
                f"{int(values.min(initial=0))} to {top}; their range is not known.",
                "State it: --range 0..255 or --range 0..65535.",
            )
        high = RANGES[name][1]
        if values.min(initial=0) < 0 or top > high:
            raise self._misfit(values, name)
        self._tell(values, name)
        if high == 255.0:
            return values.astype(np.uint8)
        return np.asarray(values / high)

    def _check(self, values: Array, name: str) -> None:
        low, high = RANGES[name]
        width = high - low
        below, above = low - float(values.min(initial=low)), float(values.max(initial=low)) - high
        if max(below, above) <= _LITTLE * width:
            return
        outside = (values < low - _LITTLE * width) | (values > high + _LITTLE * width)
        often = np.count_nonzero(outside) > _OFTEN * values.size
        if often or max(below, above) > OVERSHOOT * width:
            raise self._misfit(values, name)

    def _misfit(self, values: Array, name: str) -> EvaluationError:
        least, most = float(values.min()), float(values.max())
        origin = "as stated by --range" if self.stated else f"assumed for {values.dtype}"
        fitting = [
            other
            for other, (low, high) in RANGES.items()
            if other != name
            and least >= low - OVERSHOOT * (high - low)
            and most <= high + OVERSHOOT * (high - low)
        ]
        hint = "Scale the values to 0..1"
        if fitting:
            best = min(fitting, key=lambda other: RANGES[other][1] - RANGES[other][0])
            divide = (
                f"Divide them by {RANGES[best][1]:g}, or choose" if best[0] == "0" else "Choose"
            )
            hint = f"{divide} --range {best}"
        return EvaluationError(
            f"the {self.side} image spans [{least:g}, {most:g}]; the range is {name}, {origin}.",
            f"{hint}.",
        )

    def _tell(self, values: Array, name: str) -> None:
        origin = "stated" if self.stated else "assumed from the type"
        line = f"{self.side}: {values.dtype} values in {name}, {origin}"
        self._seen.append((float(values.min()), float(values.max())))
        mine = object()
        if self._told.setdefault(line, mine) is mine:  # atomic: several threads read images
            self.note(line)

    def summary(self) -> str:
        """Return a line with the values that were seen, or nothing if all were 8-bit."""
        if not self._seen:
            return ""
        least, most = min(low for low, _ in self._seen), max(high for _, high in self._seen)
        line = f"{self.side}: values from {least:.6g} to {most:.6g} were read"
        if self.stated == "-1..1" and least >= 0:
            line += "; none is negative: is their range 0..1?"
        return line
