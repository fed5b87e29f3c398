"""Identification of a dataset's release by measurements of its files and pixels."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib import resources
from math import fsum

from dgunet.data.catalogue.entries import DatasetInfo
from dgunet.data.readers.images import Pixels
from dgunet.data.readers.pairing import Pair, check_shapes, natural
from dgunet.data.store.recognition import (
    PixelKey,
    ReleaseMeasurements,
    is_other_quality,
    other_release_text,
)
from dgunet.data.store.records import content_digest, joined_line, pixel_digest
from dgunet.imaging.colour import matlab_luma
from dgunet.imaging.psnr import psnr

LIFT_TOLERANCE = 0.3
"""Tolerance of the `input_lift` relative to the benchmark's, in grey levels.

Two real pairs of GoPro's blur have -0.02 and 0.03; the sample's blur has 0.02 and its blur_gamma
2.1. Averaging those two sharp frames along 5 pixels in linear light brightens them by 0.5 and 1.2.
"""

SAMPLED_PAIRS = 8
"""Pairs that `measure_quickly` decodes to measure their brightness."""

DIGITS = 16
"""Leading digits of the SHA-256 of an image's pixels that ``pixels.csv`` holds."""


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
    """Catalogue name of the release with these pixels; "" if they are unknown.

    If every pair of a dataset has a digest in ``pixels.csv``, a subset is recognised too, under any
    file names.
    """
    if whole := {known.digest: known.name for known in info.known}.get(measured.digest, ""):
        return whole
    known = known_pixels(info.name)
    if len(known) < info.pairs or not measured.pixels or len(measured.pixels) < measured.pairs:
        return ""
    if not set(measured.pixels.values()) <= set(known.values()):
        return ""
    name = info.published_release.name
    return (
        f"{measured.pairs} of {name}"
        if measured.pairs < info.pairs
        else f"{name}, under other names"
    )


def release_doubts(info: DatasetInfo, measured: ReleaseMeasurements) -> list[str]:
    """Reasons why this is not the benchmark's release, one line each.

    A release that the catalogue describes is named, with its mend; nothing else is said of it.
    For a subset of a dataset, only properties that every subset has are compared.
    """
    if release_name(info, measured):
        return []
    # Pairs of the known release among others are no sign of another release.
    unknown = _unknown_pairs(info, measured)
    other = other_release_text(info, measured)
    if other and not unknown:
        return [other]
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
    if unknown:
        found.append(
            f"{len(unknown)} of {len(measured.pixels)} pairs differ from the known release:"
            f" {', '.join(unknown[:5])}{', ...' if len(unknown) > 5 else ''}"
        )
    elif info.published_release.digest and measured.pairs == info.pairs and measured.digest:
        found.append("its pixels differ from the known release")
    published = info.published_release
    if measured.pairs == info.pairs and is_other_quality(published, measured):
        found.append(
            f"another release: mean input PSNR {measured.input_psnr:.2f} dB, in the benchmark"
            f" {published.input_psnr:.2f} dB"
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

    Sizes come from the files' headers. A dataset whose published release is known by its pixels is
    decoded completely; if brightness distinguishes its releases, up to `SAMPLED_PAIRS` pairs are
    decoded.

    Raises:
        DataError: for a file that cannot be read, or sizes that differ within a pair.
    """
    pairs = sorted(pairs, key=lambda pair: natural(pair.id))
    sizes: Counter[str] = Counter()
    for pair in pairs:
        height, width, _ = check_shapes(pair)
        sizes[f"{width}x{height}"] += 1
    if info.published_release.digest:
        return _measure_pixels(info, pairs, sizes)
    lift = None
    if info.input_lift is not None:
        few = pairs[:: max(len(pairs) // SAMPLED_PAIRS, 1)][:SAMPLED_PAIRS]
        lift = sum(_lift(pair) for pair in few) / len(few)
    return ReleaseMeasurements(len(pairs), "", dict(sizes.most_common()), input_lift=lift)


def _measure_pixels(
    info: DatasetInfo, pairs: Sequence[Pair], sizes: Counter[str]
) -> ReleaseMeasurements:
    lines, pixels = [], {}
    for pair in pairs:
        digests = (
            pixel_digest(None if half is None else half.load())
            for half in (pair.input, pair.target)
        )
        degraded, clean = digests
        lines.append(joined_line(pair.id, degraded, clean))
        pixels[pair.id] = pixel_key(degraded, clean)
    digest = content_digest(lines)
    quality = measure_quality(info, pairs, digest)
    return ReleaseMeasurements(
        len(pairs), digest, dict(sizes.most_common()), input_psnr=quality, pixels=pixels
    )


def measure_quality(info: DatasetInfo, pairs: Sequence[Pair], digest: str) -> float | None:
    """Mean input PSNR of a dataset in dB, where only it distinguishes releases; otherwise None.

    Args:
        info: catalogue entry.
        pairs: all pairs; they are decoded once more.
        digest: digest of their pixels; a known one leaves nothing to distinguish.
    """
    release = info.published_release
    if release.input_psnr is None or release.digest == digest or len(pairs) != release.pairs:
        return None
    loaded = ((p.input.load(), p.target.load()) for p in pairs if p.input and p.target)
    return fsum(input_psnr(degraded, clean) for degraded, clean in loaded) / len(pairs)


def input_psnr(degraded: Pixels, clean: Pixels) -> float:
    """PSNR of a degraded image on Y in dB, 100 for an image without any degradation."""
    return psnr(matlab_luma(degraded), matlab_luma(clean), 255.0, identical=100.0)


def _lift(pair: Pair) -> float:
    if pair.input is None or pair.target is None:
        return 0.0
    return float(pair.input.load().mean() - pair.target.load().mean())
