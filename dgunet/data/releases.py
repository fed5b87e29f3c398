"""Which release of a set lies on disk, told by what was measured while reading it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dgunet.data.catalogue import DatasetInfo

PSNR_TOLERANCE = 0.05
"""dB by which a release's mean input PSNR may differ from the benchmark's."""

LIFT_TOLERANCE = 0.3
"""Grey levels by which the mean brightness of inputs may differ from the benchmark's.

Two real pairs of GoPro's blur have -0.02 and 0.03; the sample's blur has 0.02 and its blur_gamma
2.1. Averaging those two sharp frames along 5 pixels in linear light brightens them by 0.5 and 1.2.
"""


@dataclass(frozen=True)
class Seen:
    """What was measured.

    Attributes:
        pairs: how many there are.
        digest: of the store that the set would give; "" if a file does not decode.
        sizes: number of pairs by "WxH".
        input_psnr: mean over the pairs on Y in dB, None without inputs or targets.
        input_lift: mean brightness of inputs minus that of targets in grey levels, None likewise.
    """

    pairs: int
    digest: str = ""
    sizes: Mapping[str, int] = field(default_factory=dict)
    input_psnr: float | None = None
    input_lift: float | None = None


def known_as(info: DatasetInfo, seen: Seen) -> str:
    """What the catalogue calls a release of these pixels, "" if it does not know them."""
    return {known.digest: known.what for known in info.known}.get(seen.digest, "")


def doubts(info: DatasetInfo, seen: Seen) -> list[str]:
    """What speaks against this being the benchmark's release, one line each.

    A part of a set is judged only by what every part of it has.
    """
    if known_as(info, seen):
        return []
    found = []
    if (
        info.input_lift is not None
        and seen.input_lift is not None
        and abs(seen.input_lift - info.input_lift) > LIFT_TOLERANCE
    ):
        found.append(
            f"another release: inputs are {seen.input_lift:+.2f} grey levels brighter than their"
            f" targets, the benchmark's {info.input_lift:+.2f}. {info.lift_means}"
        )
    others = {size: n for size, n in seen.sizes.items() if info.sizes and size not in info.sizes}
    if others and seen.pairs == info.pairs:
        found.append(
            f"another release: {sum(others.values())} pairs are not {' or '.join(info.sizes)}"
            f" ({', '.join(list(others)[:3])})"
        )
    if info.known and seen.pairs == info.pairs and seen.digest:
        found.append("its pixels are not those of the known release")
    expected, psnr = info.input_psnr, seen.input_psnr
    if expected is None or psnr is None or seen.pairs != info.pairs:
        return found
    if abs(psnr - expected) > PSNR_TOLERANCE:
        found.append(
            f"another release: mean input PSNR {psnr:.2f} dB, the benchmark's has {expected:.2f} dB"
        )
    return found
