"""Which conventions reproduce a number: means of all conventions over a set, and the comparison."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dgunet.evaluation.convention_scores import Measured, PairScores, decibels
from dgunet.evaluation.conventions import CONVENTIONS, SERVER_ONLY, Convention
from dgunet.evaluation.result_pairs import ImagePair, Inputs, PairLoader, find_pairs
from dgunet.evaluation.scoring import in_order
from dgunet.system.errors import ConfigError, EvaluationError
from dgunet.system.reading import shorten

_SLACK = 1e-9  # a value printed with n decimals stands for an interval that includes its ends
ALIGNED = "realblur-aligned"


@dataclass(frozen=True)
class Expected:
    """A number as the user knows it; its decimals say how precisely it must be met.

    Attributes:
        text: as given, e.g. ``31.07``.
        metric: ``PSNR`` or ``SSIM``.
    """

    text: str
    metric: str

    def __post_init__(self) -> None:
        """Refuse text that is not a number."""
        if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,12})?", self.text):
            option = "--expect" if self.metric == "PSNR" else "--expect-ssim"
            raise ConfigError(
                f"{option} is {shorten(self.text)}.",
                "Give the number as it is printed, such as 31.07 dB without the unit, or 0.91.",
            )

    @property
    def value(self) -> float:
        """The number."""
        return float(self.text)

    def meets(self, value: float) -> bool:
        """Return whether ``value``, rounded to the decimals of ``text``, is the number."""
        decimals = len(self.text.partition(".")[2])
        return abs(value - self.value) <= 0.5 * 10.0**-decimals + _SLACK


@dataclass(frozen=True)
class SetScore:
    """A convention's scores of the whole set.

    Attributes:
        convention: the convention.
        psnr: in dB; ``inf`` if it is infinite.
        ssim: mean over the images.
        identical: number of images of infinite PSNR.
        psnr_of_others: mean over the other images, or None.
    """

    convention: Convention
    psnr: float
    ssim: float
    identical: int
    psnr_of_others: float | None

    def value(self, metric: str) -> float:
        """Return the PSNR or the SSIM."""
        return self.psnr if metric == "PSNR" else self.ssim


@dataclass
class Explanation:
    """The scores of the images so far under every convention.

    Attributes:
        conventions: the conventions that are computed.
        left_out: the reasons why others are not, by name.
        names: names of the images so far.
    """

    conventions: tuple[Convention, ...] = tuple(CONVENTIONS.values())
    left_out: dict[str, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    _measured: dict[str, list[Measured]] = field(default_factory=dict)

    def add(self, name: str, measured: dict[str, Measured | str]) -> None:
        """Add one image; a convention that does not apply to it is left out from now on."""
        self.names.append(name)
        for key, found in measured.items():
            if isinstance(found, str):
                self.left_out.setdefault(key, f"{name}: {found}")
            else:
                self._measured.setdefault(key, []).append(found)

    def scores(self) -> list[SetScore]:
        """Return the scores of the conventions that apply to all images, in their order."""
        return [
            _of_set(each, self._measured[each.name])
            for each in self.conventions
            if each.name in self._measured and not self._reason(each)
        ]

    def reasons(self) -> dict[str, str]:
        """Return why the other conventions have no score, by name."""
        found = {each.name: self._reason(each) for each in self.conventions}
        return {name: reason for name, reason in (found | self.left_out).items() if reason}

    def _reason(self, convention: Convention) -> str:
        if convention.average != "images" and len(self.names) == 1:
            return "there is one image only"
        return self.left_out.get(convention.name, "")


def _of_set(convention: Convention, images: Sequence[Measured]) -> SetScore:
    finite = [each.psnr for each in images if math.isfinite(each.psnr)]
    others = math.fsum(finite) / len(finite) if finite else None
    identical = len(images) - len(finite)
    if convention.average == "images":
        psnr = math.inf if identical or others is None else others
    elif convention.average == "pixels":
        psnr = decibels(math.fsum(i.error for i in images), sum(i.count for i in images))
    else:
        errors = math.fsum(each.error / each.count for each in images)
        psnr = decibels(errors, len(images))
    similarity = math.fsum(each.ssim for each in images) / len(images)
    return SetScore(convention, psnr, similarity, identical, others)


def explain_results(
    restored: Path,
    target: Path,
    *,
    protocol: str | None = None,
    partial: bool = False,
    inputs: Inputs | None = None,
    note: Callable[[str], None] = lambda line: None,
) -> Iterator[tuple[Explanation, int]]:
    """Score the same images under every convention, image by image.

    Args:
        restored: as for `scoring.score_results`.
        target: likewise.
        protocol: a protocol whose line must be computed, or None. ``realblur-aligned`` is computed
            only on request, because it aligns every image first.
        partial: accept targets without a result.
        inputs: range, pairs and variable as the user states them.
        note: called with one line for each thing that was assumed or left out.

    Yields:
        After every image the growing explanation, and the number of images in all.

    Raises:
        EvaluationError: for sides that do not pair, or a pair that cannot be read as images.
        DataError: for unreadable files.
    """
    inputs = inputs or Inputs()
    if protocol in SERVER_ONLY:
        raise EvaluationError(
            f"protocol {protocol} has no local score.", "Only its server has the targets."
        )
    pairs = find_pairs(restored, target, partial=partial, inputs=inputs, note=note)
    chosen = tuple(c for c in CONVENTIONS.values() if c.name != ALIGNED or protocol == ALIGNED)
    explanation = Explanation(chosen)
    if protocol != ALIGNED:
        explanation.left_out[ALIGNED] = (
            f"it aligns every image first; ask with --protocol {ALIGNED}"
        )
    for name in SERVER_ONLY:
        explanation.left_out[name] = "only its server has the targets"
    loader = PairLoader(inputs, note)

    def measure(pair: ImagePair) -> tuple[str, dict[str, Measured | str]]:
        images = loader.load(pair, None)
        try:
            return pair.name, PairScores(*images).measure(chosen)
        except EvaluationError as error:
            raise EvaluationError(f"{pair.name}: {error.message}", error.hint) from error

    for name, measured in in_order(measure, pairs):
        explanation.add(name, measured)
        yield explanation, len(pairs)
    for line in loader.summary():
        note(line)


def nearest(number: Expected, scores: Sequence[SetScore]) -> SetScore | None:
    """Return the score nearest to a number; None if all are infinite."""
    finite = [each for each in scores if math.isfinite(each.value(number.metric))]
    return min(finite, key=lambda each: abs(each.value(number.metric) - number.value), default=None)
