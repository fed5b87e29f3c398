"""The effect of a claim as samples: the images of each test set, and the trainings of each network.

A claim's effect is a weighted sum of means. On one test set its terms are summed image by image
first, so that the difficulty of an image cancels between our networks; test sets are independent
samples. Against a printed mean nothing cancels: the test is one of a single sample, and the
printed value counts as exact.

Several trainings of a network are several evaluations with different weights. The image scores are
then means over the trainings, and the deviations of the trainings' means from their mean are one
more sample for each network, whose mean is zero. The standard error so contains both levels; what a
training and an image have in common only is counted in both, which makes it larger, not smaller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from dgunet.data.catalogue.entries import dataset as catalogue_entry
from dgunet.evaluation.rows import Row
from dgunet.evaluation.summary import EvaluationSummary
from dgunet.paper.claims.claim_list import Published, Term, Tested
from dgunet.paper.intervals import FEWEST_IMAGES, Scores
from dgunet.system.errors import DataError

CellName = tuple[str, str, int | None]
"""Test set, row and ratio."""

NetworkName = tuple[str, str, int | None]
"""Task, row and ratio: what is trained at once and evaluated on one or more test sets."""


class MissingResultError(Exception):
    """What a claim needs and the results do not hold; its text is the reason, for people."""


@dataclass(frozen=True)
class Result:
    """One evaluation: its summary, and the PSNR of each image by id."""

    summary: EvaluationSummary
    psnr: Mapping[str, float | None]

    @classmethod
    def of(cls, summary: EvaluationSummary, rows: Iterable[Row]) -> Result:
        """The result of an evaluation's rows."""
        return cls(summary, {row.id: row.psnr for row in rows})

    @property
    def cell(self) -> CellName:
        """Where it belongs in the tables."""
        return self.summary.dataset, self.summary.row, self.summary.ratio


@dataclass(frozen=True)
class Effect:
    """The data of one claim.

    Attributes:
        samples: per test set the weighted PSNR of each image, in dB, then per network with several
            trainings the weighted deviations of their means.
        images: number of images by test set.
        trainings: number of trainings by network, such as ``DGUNet+`` or ``DGUNet, 10 %``.
        results: the evaluations that are compared.
    """

    samples: tuple[Scores, ...]
    images: dict[str, int]
    trainings: dict[str, int]
    results: tuple[Result, ...]


@dataclass
class Results:
    """The evaluations that claims are tested on, all of one profile.

    Raises:
        DataError: for two profiles, two evaluations of the same weights that differ, or a test set
            that was scored on two versions of its data, other images or under two protocols.
    """

    every: Sequence[Result]
    _cells: dict[CellName, dict[str, Result]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for result in self.every:
            weights = result.summary.checkpoint_sha256
            known = self._cells.setdefault(result.cell, {}).setdefault(weights, result)
            if known.summary.per_image_sha256 != result.summary.per_image_sha256:
                raise DataError(
                    f"two evaluations of {result.summary.name} have the same weights "
                    f"{weights[:12]} and different scores.",
                    "Leave out one of them.",
                )
        _refuse_mixtures(self.every)

    def effect(self, claim: Tested) -> Effect:
        """The samples of a claim.

        Raises:
            MissingResultError: with the result that is missing.
        """
        chosen = {network: self._trainings(claim, network) for network in _networks(claim.terms)}
        sets = {term.dataset for term in claim.terms}
        by_set = {name: np.zeros(0) for name in sorted(sets)}
        deviations = {n: np.zeros(len(trained)) for n, trained in chosen.items()}
        used = []
        for term in claim.terms:
            network = network_of(term)
            results = [self._cells[_cell(term)][weights] for weights in chosen[network]]
            scores = _matrix(term, results, isinstance(claim, Published))
            images = term.weight * scores.mean(axis=0)
            before = by_set[term.dataset]
            by_set[term.dataset] = images + before if before.size else images
            deviations[network] += term.weight * (scores.mean(axis=1) - scores.mean())
            used += results
        spread = [each for each in deviations.values() if len(each) > 1]
        return Effect(
            (*by_set.values(), *spread),
            {name: len(values) for name, values in by_set.items()},
            {_shown(network): len(trained) for network, trained in chosen.items()},
            tuple(used),
        )

    def _trainings(self, claim: Tested, network: NetworkName) -> list[str]:
        """The weights of a network that were evaluated on all sets that the claim needs."""
        cells = [_cell(term) for term in claim.terms if network_of(term) == network]
        absent = [cell for cell in cells if cell not in self._cells]
        if absent:
            names = ", ".join(dict.fromkeys(cell[0] for cell in absent))
            raise MissingResultError(f"no evaluation of {_shown(network)} on {names}")
        common = set.intersection(*(set(self._cells[cell]) for cell in cells))
        if not common:
            raise MissingResultError(f"no weights of {_shown(network)} were evaluated on all sets")
        return sorted(common)


def network_of(term: Term) -> NetworkName:
    """The network that a term is about."""
    return catalogue_entry(term.dataset).task, term.row, term.ratio


def _networks(terms: Iterable[Term]) -> list[NetworkName]:
    return list(dict.fromkeys(network_of(term) for term in terms))


def _cell(term: Term) -> CellName:
    return term.dataset, term.row, term.ratio


def _shown(network: NetworkName) -> str:
    _, row, ratio = network
    return row if ratio is None else f"{row}, {ratio} %"


def _matrix(term: Term, results: Sequence[Result], against_print: bool) -> Scores:
    """The PSNR of each training and image, (trainings, images), images in the order of their ids.

    Raises:
        MissingResultError: for too few images, images without a finite PSNR, or a part of a test
            set beside a printed mean.
    """
    summary = results[0].summary
    if any(None in result.psnr.values() for result in results):
        raise MissingResultError(
            f"{term.dataset} is scored by its server, which returns means only"
        )
    if against_print and not summary.complete:
        raise MissingResultError(
            f"{term.dataset} has {summary.images} of {summary.published_images} published images "
            "here; a printed mean is of all"
        )
    if summary.images < FEWEST_IMAGES:
        raise MissingResultError(
            f"{term.dataset} has {summary.images} images here; fewer than {FEWEST_IMAGES} decide "
            "nothing"
        )
    ids = sorted(results[0].psnr)
    scores = np.array([[result.psnr[each] for each in ids] for result in results], np.float64)
    if not np.isfinite(scores).all():
        count = int((~np.isfinite(scores)).any(axis=0).sum())
        raise MissingResultError(f"{term.dataset} has {count} images of infinite PSNR")
    return scores


def _refuse_mixtures(results: Sequence[Result]) -> None:
    summaries = [result.summary for result in results]
    if len(profiles := {summary.profile for summary in summaries}) > 1:
        raise DataError(
            f"there are results of several profiles: {', '.join(sorted(profiles))}.",
            "Name folders of one profile.",
        )
    first: dict[str, Result] = {}
    for result in results:
        one, known = result.summary, first.setdefault(result.summary.dataset, result)
        other = known.summary
        if set(result.psnr) != set(known.psnr):
            raise DataError(
                f"{one.name} and {other.name} have different images.",
                "Evaluate all networks on the same images.",
            )
        for name in ("data_digest", "protocol", "protocol_version"):
            ours, theirs = getattr(one, name), getattr(other, name)
            if ours != theirs:
                raise DataError(
                    f"{one.dataset}: {name} is {ours} for {one.name} and {theirs} for "
                    f"{other.name}.",
                    "Evaluate all networks on the same data, under the same protocol.",
                )
