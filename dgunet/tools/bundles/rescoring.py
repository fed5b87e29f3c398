"""Scoring the images of a bundle again, where they are at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dgunet.evaluation.protocols import protocol
from dgunet.evaluation.result_pairs import ImagePair, Inputs, PairLoader, find_pairs
from dgunet.evaluation.rows import Row, array_sha256
from dgunet.evaluation.scoring import as_scored, in_order
from dgunet.system.errors import EvaluationError

SAME_SCORE = 1e-9
"""Difference of two scores of the same arrays that counts as equal: sums of other machines."""


@dataclass(frozen=True)
class ScoredImages:
    """The images of a bundle of scores: the results and their targets, as for ``dgunet score``."""

    restored: Path
    targets: Path


@dataclass(frozen=True)
class Scored:
    """What a bundle states of its images.

    Attributes:
        rows: scores and SHA-256 of the results.
        targets: SHA-256 of the targets by the name of their image.
        protocol: name of the protocol.
        inputs: range, pairs and variable, as they were stated.
    """

    rows: Sequence[Row]
    targets: dict[str, str]
    protocol: str
    inputs: Inputs


def rescoring_faults(
    stated: Scored, images: ScoredImages, note: Callable[[str], None]
) -> Iterator[str]:
    """Score the images again and compare every row; each image has its own reason.

    Args:
        stated: what the bundle states.
        images: the results and targets.
        note: called with the number of images that gave the stated scores.

    Raises:
        DataError: for an unreadable image.
    """
    try:
        pairs = find_pairs(images.restored, images.targets, partial=True, inputs=stated.inputs)
    except EvaluationError as error:
        file = stated.inputs.pairs
        yield error.message.replace(f"{file.parent}/", "") if file else error.message
        return
    rows = {row.id: row for row in stated.rows}
    names = [pair.name for pair in pairs]
    yield from _absent(set(rows) - set(names), "in the bundle and not among the images")
    yield from _absent(set(names) - set(rows), "among the images and not in the bundle")
    loader, same = PairLoader(stated.inputs), 0

    def compare(pair: ImagePair) -> list[str]:
        return list(_differences(pair, rows[pair.name], stated, loader, images))

    for faults in in_order(compare, [pair for pair in pairs if pair.name in rows]):
        same += not faults
        yield from faults
    note(f"{same} images scored again with the same scores")


def _absent(names: set[str], where: str) -> Iterator[str]:
    for name in sorted(names):
        yield f"{name!r} is {where}"


def _differences(
    pair: ImagePair, row: Row, stated: Scored, loader: PairLoader, images: ScoredImages
) -> Iterator[str]:
    """Compare one pair with its row: first the images, and if these are the same the scores."""
    rules = protocol(stated.protocol)
    try:
        given, truth = loader.load(pair, rules.channels)
        result, target = as_scored(given, rules), as_scored(truth, rules)
        hashes = array_sha256(result), array_sha256(target)
        other = [
            f"{row.id!r}: another {kind} was scored than the one in {folder.name}"
            for kind, folder, found, wanted in (
                ("image", images.restored, hashes[0], row.restored_sha256),
                ("target", images.targets, hashes[1], stated.targets.get(row.id)),
            )
            if found != wanted
        ]
        if hashes[0] == hashes[1]:
            other.append(f"{row.id!r}: the image in {images.restored.name} is its target")
        yield from other
        if other:
            return
        score = rules.score(result, target)
    except EvaluationError as error:
        yield f"{row.id!r} cannot be scored again: {error.message.rstrip('.')}"
        return
    for name in ("psnr", "ssim"):
        before, after = getattr(row, name), getattr(score, name)
        if before != after and not abs(before - after) <= SAME_SCORE:
            yield f"{row.id!r}: {name} is {before!r}, scored again {after!r}"
