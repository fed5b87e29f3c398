"""An explanation as lines of text and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from dgunet.evaluation.explanation import Expected, Explanation, SetScore, nearest


def as_lines(
    explanation: Explanation, expected: Sequence[Expected], reference: str | None = None
) -> list[str]:
    """Return the table and the comparison as lines of text.

    Args:
        explanation: the scores.
        expected: the user's numbers, at most one for each metric.
        reference: a convention from which the differences are shown, or None.
    """
    scores = explanation.scores()
    base = next((each for each in scores if each.convention.name == reference), None)
    lines = [
        f"{len(explanation.names)} images; * is a protocol of this project"
        + (f"; differences are from {reference}" if base else "")
        + ("; = gives the expected number" if expected else "")
    ]
    for each in scores:
        marks = {"PSNR": " ", "SSIM": " "}
        for number in expected:
            if number.meets(each.value(number.metric)):
                marks[number.metric] = "="
        change = f" {_difference(each.psnr, base.psnr):>8}" if base else ""
        star = "*" if each.convention.protocol else " "
        lines.append(
            f"{marks['PSNR']}{_psnr(each.psnr):>8}{change} {marks['SSIM']}{each.ssim:.6f} "
            f"{star}{each.convention.name}: {each.convention.words} [{each.convention.used_by}]"
        )
    lines += [*_identical(scores, len(explanation.names)), "left out:"]
    lines += [f"  {name}: {reason}" for name, reason in explanation.reasons().items()]
    for number in expected:
        lines.append(_verdict(number, scores))
    if len(expected) > 1:
        both = [
            s.convention.name for s in scores if all(n.meets(s.value(n.metric)) for n in expected)
        ]
        lines.append(f"both numbers together: {', '.join(both) if both else 'no convention'}")
    return lines


def _identical(scores: Sequence[SetScore], images: int) -> list[str]:
    """One line about identical images, from the convention with the most of them."""
    most = max(scores, key=lambda each: each.identical, default=None)
    if most is None or not most.identical:
        return []
    line = (
        f"{most.identical} of {images} images are identical under {most.convention.name}: the mean "
        "of PSNRs with such images is infinite"
    )
    if most.psnr_of_others is not None:
        line += f"; {_psnr(most.psnr_of_others)} dB over the other {images - most.identical}"
    return [line]


def _verdict(number: Expected, scores: Sequence[SetScore]) -> str:
    unit = " dB" if number.metric == "PSNR" else ""
    named = f"{number.metric} {number.text}{unit}"
    met = [each for each in scores if number.meets(each.value(number.metric))]
    if met:
        names = ", ".join(each.convention.name for each in met)
        return f"{named} is reproduced by {len(met)} of {len(scores)}: {names}"
    near = nearest(number, scores)
    if near is None:
        return f"{named} cannot be compared: no convention gives a finite number"
    value = near.value(number.metric)
    digits = 4 if number.metric == "PSNR" else 6
    return (
        f"{named} is reproduced by none of {len(scores)}; the nearest is {near.convention.name} "
        f"with {value:.{digits}f}{unit} ({value - number.value:+.{digits}f}): other outputs, other "
        "targets, or a convention that is not listed"
    )


def _psnr(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "inf"


def _difference(value: float, base: float) -> str:
    return f"{value - base:+.4f}" if math.isfinite(value) and math.isfinite(base) else ""


def as_json(explanation: Explanation, expected: Sequence[Expected]) -> dict[str, Any]:
    """Return the same as JSON values; an infinite PSNR is null, beside the identical images."""
    scores = explanation.scores()
    return {
        "images": explanation.names,
        "conventions": [_json_line(each, expected) for each in scores],
        "left_out": explanation.reasons(),
        "expected": [
            {
                "metric": number.metric,
                "text": number.text,
                "reproduced_by": [
                    each.convention.name
                    for each in scores
                    if number.meets(each.value(number.metric))
                ],
                "nearest": near.convention.name if (near := nearest(number, scores)) else None,
            }
            for number in expected
        ],
    }


def _json_line(score: SetScore, expected: Sequence[Expected]) -> dict[str, Any]:
    return {
        "name": score.convention.name,
        "protocol": score.convention.protocol or None,
        "psnr": score.psnr if math.isfinite(score.psnr) else None,
        "ssim": score.ssim,
        "identical_images": score.identical,
        "psnr_of_others": score.psnr_of_others,
        "convention": score.convention.words,
        "used_by": score.convention.used_by,
        "reproduces": [
            number.metric for number in expected if number.meets(score.value(number.metric))
        ],
    }
