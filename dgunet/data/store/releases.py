"""Identification of a dataset's release by measurements of its files and pixels."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

from dgunet.data.catalogue.entries import DatasetInfo
from dgunet.data.readers.pairing import Pair, check_shapes, natural
from dgunet.data.store.records import content_digest, joined_line, pixel_digest

PSNR_TOLERANCE = 0.05
"""Tolerance of the mean input PSNR relative to the benchmark's, in dB."""

LIFT_TOLERANCE = 0.3
"""Tolerance of the `input_lift` relative to the benchmark's, in grey levels.

Two real pairs of GoPro's blur have -0.02 and 0.03; the sample's blur has 0.02 and its blur_gamma
2.1. Averaging those two sharp frames along 5 pixels in linear light brightens them by 0.5 and 1.2.
"""

SAMPLED_PAIRS = 8
"""Pairs that `measure_quickly` decodes to measure their brightness."""

DIGITS = 16
"""Leading digits of the SHA-256 of an image's pixels that ``pixels.csv`` holds."""

PixelKey = tuple[str, str]
"""First `DIGITS` digits of the SHA-256 of the pixels of input and target; "-" if it is absent."""


@dataclass(frozen=True)
class ReleaseMeasurements:
    """Measurements that distinguish releases of a dataset.

    Attributes:
        pairs: number of pairs.
        digest: digest of the store that would be prepared; "" if a file does not decode.
        sizes: number of pairs by "WxH".
        input_psnr: mean PSNR of the inputs on Y in dB; None without inputs or targets.
        input_lift: mean brightness of inputs minus that of targets in grey levels; None likewise.
        pixels: keys by id of the pairs that decode; empty if pixels were not read one by one.
    """

    pairs: int
    digest: str = ""
    sizes: Mapping[str, int] = field(default_factory=dict)
    input_psnr: float | None = None
    input_lift: float | None = None
    pixels: Mapping[str, PixelKey] = field(default_factory=dict)


def pixel_key(degraded: str, clean: str) -> PixelKey:
    """Key of a pair in `known_pixels`, from the `pixel_digest` of both images."""
    return degraded[-64:][:DIGITS], clean[-64:][:DIGITS]


@cache
def known_pixels(name: str) -> dict[str, PixelKey]:
    """Known pairs of the benchmark's release of a dataset by id: all, some, or none of them."""
    text = (resources.files(__package__) / "pixels.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return {row["id"]: (row["input"], row["target"]) for row in rows if row["set"] == name}


def release_name(info: DatasetInfo, measured: ReleaseMeasurements) -> str:
    """Catalogue name of the release with these pixels; "" if it is unknown.

    If every pair of a dataset has a digest in ``pixels.csv``, a subset is recognised too, under any
    file names.
    """
    if whole := {known.digest: known.what for known in info.known}.get(measured.digest, ""):
        return whole
    known = known_pixels(info.name)
    if len(known) < info.pairs or not measured.pixels or len(measured.pixels) < measured.pairs:
        return ""
    if not set(measured.pixels.values()) <= set(known.values()):
        return ""
    what = info.known[0].what
    return (
        f"{measured.pairs} of {what}"
        if measured.pairs < info.pairs
        else f"{what}, under other names"
    )


def release_doubts(info: DatasetInfo, measured: ReleaseMeasurements) -> list[str]:
    """Reasons why this is not the benchmark's release, one line each.

    For a subset of a dataset, only properties that every subset has are compared.
    """
    if release_name(info, measured):
        return []
    found = []
    if (
        info.input_lift is not None
        and measured.input_lift is not None
        and abs(measured.input_lift - info.input_lift) > LIFT_TOLERANCE
    ):
        found.append(
            f"another release: inputs are {measured.input_lift:+.2f} grey levels brighter than"
            f" their targets, in the benchmark {info.input_lift:+.2f}. {info.lift_means}"
        )
    others = {
        size: n for size, n in measured.sizes.items() if info.sizes and size not in info.sizes
    }
    if others and measured.pairs == info.pairs:
        found.append(
            f"another release: {sum(others.values())} pairs are not {' or '.join(info.sizes)}"
            f" ({', '.join(list(others)[:3])})"
        )
    unknown = _unknown_pairs(info, measured)
    if unknown:
        found.append(
            f"{len(unknown)} of {len(measured.pixels)} pairs differ from the known release:"
            f" {', '.join(unknown[:5])}{', ...' if len(unknown) > 5 else ''}"
        )
    elif info.known and measured.pairs == info.pairs and measured.digest:
        found.append("its pixels differ from the known release")
    expected, psnr = info.input_psnr, measured.input_psnr
    if expected is None or psnr is None or measured.pairs != info.pairs:
        return found
    if abs(psnr - expected) > PSNR_TOLERANCE:
        found.append(
            f"another release: mean input PSNR {psnr:.2f} dB, in the benchmark {expected:.2f} dB"
        )
    return found


def _unknown_pairs(info: DatasetInfo, measured: ReleaseMeasurements) -> list[str]:
    """Pairs that are not in the known release, if at least one other pair is."""
    known = known_pixels(info.name)
    every = set(known.values())
    same = [name for name, key in measured.pixels.items() if key in every]
    if not same:
        return []
    halves = [{key[half] for key in every} for half in (0, 1)]
    # If only some pairs of a release are known, only those names can be compared.
    compared = (
        measured.pixels if len(known) >= info.pairs else {n: measured.pixels.get(n) for n in known}
    )
    return [
        f"{name} ({_differs(key, halves)})"
        for name, key in compared.items()
        if key is not None and key not in every
    ]


def _differs(key: PixelKey, halves: Sequence[set[str]]) -> str:
    known = zip(("input", "target"), key, halves, strict=True)
    other = [half for half, mine, theirs in known if mine not in theirs]
    return " and ".join(other) or "halves of different pairs"


def partly_known(info: DatasetInfo, measured: ReleaseMeasurements) -> str:
    """Number of pairs with known pixels, as text; "" unless ``pixels.csv`` has only some pairs."""
    known = known_pixels(info.name)
    if len(known) >= info.pairs:
        return ""
    same = sum(key in set(known.values()) for key in measured.pixels.values())
    return (
        f"{same} of {measured.pairs} pairs have known pixels: {info.known_pixels}" if same else ""
    )


def measure_quickly(info: DatasetInfo, pairs: Sequence[Pair]) -> ReleaseMeasurements:
    """Measure a dataset without reading all of it.

    Sizes come from the files' headers. A dataset with a known release is decoded completely; if
    brightness distinguishes its releases, up to `SAMPLED_PAIRS` pairs are decoded.

    Raises:
        DataError: for a file that cannot be read, or sizes that differ within a pair.
    """
    pairs = sorted(pairs, key=lambda pair: natural(pair.id))
    sizes: Counter[str] = Counter()
    for pair in pairs:
        height, width, _ = check_shapes(pair)
        sizes[f"{width}x{height}"] += 1
    if info.known:
        return _measure_pixels(pairs, sizes)
    lift = None
    if info.input_lift is not None:
        few = pairs[:: max(len(pairs) // SAMPLED_PAIRS, 1)][:SAMPLED_PAIRS]
        lift = sum(_lift(pair) for pair in few) / len(few)
    return ReleaseMeasurements(len(pairs), "", dict(sizes.most_common()), input_lift=lift)


def _measure_pixels(pairs: Sequence[Pair], sizes: Counter[str]) -> ReleaseMeasurements:
    lines, pixels = [], {}
    for pair in pairs:
        digests = (
            pixel_digest(None if half is None else half.load())
            for half in (pair.input, pair.target)
        )
        degraded, clean = digests
        lines.append(joined_line(pair.id, degraded, clean))
        pixels[pair.id] = pixel_key(degraded, clean)
    return ReleaseMeasurements(
        len(pairs), content_digest(lines), dict(sizes.most_common()), pixels=pixels
    )


def _lift(pair: Pair) -> float:
    if pair.input is None or pair.target is None:
        return 0.0
    return float(pair.input.load().mean() - pair.target.load().mean())
