"""Which release of a set lies on disk, told by what was measured while reading it."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

from dgunet.data.catalogue.entries import DatasetInfo
from dgunet.data.readers.pairing import Pair, check_shapes, natural
from dgunet.data.store.pair_store import content_digest, joined_line, pixel_digest

PSNR_TOLERANCE = 0.05
"""dB by which a release's mean input PSNR may differ from the benchmark's."""

LIFT_TOLERANCE = 0.3
"""Grey levels by which the mean brightness of inputs may differ from the benchmark's.

Two real pairs of GoPro's blur have -0.02 and 0.03; the sample's blur has 0.02 and its blur_gamma
2.1. Averaging those two sharp frames along 5 pixels in linear light brightens them by 0.5 and 1.2.
"""

GLANCED = 8
"""Pairs that a `glance` decodes to measure their brightness."""

DIGITS = 16
"""Of the SHA-256 of an image's pixels, kept for each in ``pixels.csv``."""

PixelKey = tuple[str, str]
"""The first `DIGITS` of the SHA-256 of the pixels of input and target, "-" for an absent half."""


@dataclass(frozen=True)
class Seen:
    """What was measured.

    Attributes:
        pairs: how many there are.
        digest: of the store that the set would give; "" if a file does not decode.
        sizes: number of pairs by "WxH".
        input_psnr: mean over the pairs on Y in dB, None without inputs or targets.
        input_lift: mean brightness of inputs minus that of targets in grey levels, None likewise.
        pixels: by id, of the pairs that decode; empty if they were not looked at one by one.
    """

    pairs: int
    digest: str = ""
    sizes: Mapping[str, int] = field(default_factory=dict)
    input_psnr: float | None = None
    input_lift: float | None = None
    pixels: Mapping[str, PixelKey] = field(default_factory=dict)


def pixel_key(degraded: str, clean: str) -> PixelKey:
    """What `known_pixels` knows of a pair, from the `pixel_digest` of both images."""
    return degraded[-64:][:DIGITS], clean[-64:][:DIGITS]


@cache
def known_pixels(name: str) -> dict[str, PixelKey]:
    """Pairs of the benchmark's release of a set by id; all of them, some, or none."""
    text = (resources.files(__package__) / "pixels.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return {row["id"]: (row["input"], row["target"]) for row in rows if row["set"] == name}


def known_as(info: DatasetInfo, seen: Seen) -> str:
    """What the catalogue calls a release of these pixels, "" if it does not know them.

    A part of a set whose every pair is known is known as that part, whatever its files are called.
    """
    if whole := {known.digest: known.what for known in info.known}.get(seen.digest, ""):
        return whole
    known = known_pixels(info.name)
    if len(known) < info.pairs or not seen.pixels or len(seen.pixels) < seen.pairs:
        return ""
    if not set(seen.pixels.values()) <= set(known.values()):
        return ""
    what = info.known[0].what
    return f"{seen.pairs} of {what}" if seen.pairs < info.pairs else f"{what}, under other names"


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
    strangers = _strangers(info, seen)
    if strangers:
        found.append(
            f"{len(strangers)} of {len(seen.pixels)} pairs have other pixels than the known"
            f" release: {', '.join(strangers[:5])}{', ...' if len(strangers) > 5 else ''}"
        )
    elif info.known and seen.pairs == info.pairs and seen.digest:
        found.append("its pixels are not those of the known release")
    expected, psnr = info.input_psnr, seen.input_psnr
    if expected is None or psnr is None or seen.pairs != info.pairs:
        return found
    if abs(psnr - expected) > PSNR_TOLERANCE:
        found.append(
            f"another release: mean input PSNR {psnr:.2f} dB, the benchmark's has {expected:.2f} dB"
        )
    return found


def _strangers(info: DatasetInfo, seen: Seen) -> list[str]:
    """Pairs that are not of the known release in a set that has some that are."""
    known = known_pixels(info.name)
    every = set(known.values())
    same = [name for name, key in seen.pixels.items() if key in every]
    if not same:
        return []
    halves = [{key[half] for key in every} for half in (0, 1)]
    # Of a set that is known in part, only the pairs of those names can be told.
    judged = seen.pixels if len(known) >= info.pairs else {n: seen.pixels.get(n) for n in known}
    return [
        f"{name} ({_differs(key, halves)})"
        for name, key in judged.items()
        if key is not None and key not in every
    ]


def _differs(key: PixelKey, halves: Sequence[set[str]]) -> str:
    known = zip(("input", "target"), key, halves, strict=True)
    other = [half for half, mine, theirs in known if mine not in theirs]
    return " and ".join(other) or "halves of different pairs"


def partly_known(info: DatasetInfo, seen: Seen) -> str:
    """How many pairs of a set that is known only in part have the known pixels; "" for others."""
    known = known_pixels(info.name)
    if len(known) >= info.pairs:
        return ""
    same = sum(key in set(known.values()) for key in seen.pixels.values())
    return (
        f"{same} of {seen.pairs} pairs are known by their pixels: {info.known_pixels}"
        if same
        else ""
    )


def glance(info: DatasetInfo, pairs: Sequence[Pair]) -> Seen:
    """What can be told of a set without reading all of it.

    Sizes come from the files' headers. Only a set of a known release is decoded whole; of one told
    by its brightness, a few pairs.

    Raises:
        DataError: for a file that cannot be read, or sizes that differ within a pair.
    """
    pairs = sorted(pairs, key=lambda pair: natural(pair.id))
    sizes: Counter[str] = Counter()
    for pair in pairs:
        height, width, _ = check_shapes(pair)
        sizes[f"{width}x{height}"] += 1
    if info.known:
        return _look(pairs, sizes)
    lift = None
    if info.input_lift is not None:
        few = pairs[:: max(len(pairs) // GLANCED, 1)][:GLANCED]
        lift = sum(_lift(pair) for pair in few) / len(few)
    return Seen(len(pairs), "", dict(sizes.most_common()), input_lift=lift)


def _look(pairs: Sequence[Pair], sizes: Counter[str]) -> Seen:
    lines, pixels = [], {}
    for pair in pairs:
        digests = (
            pixel_digest(None if half is None else half.load())
            for half in (pair.input, pair.target)
        )
        degraded, clean = digests
        lines.append(joined_line(pair.id, degraded, clean))
        pixels[pair.id] = pixel_key(degraded, clean)
    return Seen(len(pairs), content_digest(lines), dict(sizes.most_common()), pixels=pixels)


def _lift(pair: Pair) -> float:
    if pair.input is None or pair.target is None:
        return 0.0
    return float(pair.input.load().mean() - pair.target.load().mean())
