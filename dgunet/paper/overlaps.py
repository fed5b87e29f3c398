"""Which test images a network's training set has seen: established overlaps and own checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

from dgunet.data.catalogue.entries import dataset
from dgunet.data.catalogue.overlaps import OverlapRecord, check_records, read_overlaps
from dgunet.paper.summaries import Summary
from dgunet.terms import TRAINING_SETS

RELEASED_SENSING = ("DIV2K", "BSD400")
"""Training sets of the authors' weights for compressive sensing: their folder names and issue 5."""


class Statement(BaseModel):
    """What others state about an overlap, without the names of the images."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    train: str
    test: str
    text: str
    source: str


@dataclass(frozen=True)
class Overlaps:
    """All records that are known, and statements that explain unknown ones."""

    records: tuple[OverlapRecord, ...]
    statements: tuple[Statement, ...]


def known_overlaps(path: Path | None = None) -> Overlaps:
    """The established overlaps of `overlaps.yaml`, with those of the project's own check.

    Args:
        path: the file of the own check, as ``dgunet data check --overlaps`` writes it; a missing
            file is a check that was not made.

    Raises:
        DataError: naming the file and the record, if one is wrong.
    """
    name = "overlaps.yaml"
    content = yaml.safe_load(files(__package__).joinpath(name).read_text(encoding="utf-8"))
    records = check_records(content["records"], name, hint="Correct the file.")
    own = read_overlaps(path) if path is not None and path.is_file() else []
    statements = tuple(Statement.model_validate(entry) for entry in content["statements"])
    return Overlaps((*records, *own), statements)


def training_sets(summary: Summary) -> tuple[str, ...]:
    """The training sets of a result's network; () for weights of unknown origin."""
    task = dataset(summary.dataset).task
    if summary.weights == "other":
        return ()
    if summary.weights == "released" and task == "cs":
        return RELEASED_SENSING
    return (TRAINING_SETS[task],)


def seen_images(summary: Summary, overlaps: Overlaps) -> frozenset[str] | str:
    """Ids of the test images that the network's training sets have; the reason if unknown.

    A record counts for the digest of the result's test set only. For "trained" weights it must be
    of the training set's digest, too; for "released" weights, of which no digest is known, of the
    whole published training set.
    """
    if summary.weights == "other":
        return "the training set of weights of unknown origin is not known"
    if summary.weights == "trained" and not summary.training_digest:
        return "the weights were trained further from others, whose training set is not recorded"
    seen: set[str] = set()
    for train in training_sets(summary):
        records = _of(overlaps.records, train, summary.dataset)
        usable = [record for record in records if not _objection(record, summary)]
        if not usable:
            reason = _objection(records[-1], summary) if records else "was not checked against"
            return f"{train} {reason} {summary.dataset}"
        seen.update(image for record in usable for image in record.images)
    return frozenset(seen)


def statements_about(summary: Summary, overlaps: Overlaps) -> list[str]:
    """What others state about the overlap of a result's training and test sets, with the source."""
    sets = training_sets(summary)
    return [
        f"{statement.text} ({statement.source})"
        for statement in overlaps.statements
        if statement.test == summary.dataset and statement.train in sets
    ]


def _of(records: Sequence[OverlapRecord], train: str, test: str) -> list[OverlapRecord]:
    return [record for record in records if (record.train, record.test) == (train, test)]


def _objection(record: OverlapRecord, summary: Summary) -> str:
    """Why a record of the same two sets does not count for this result; "" if it does."""
    if record.test_digest != summary.data_digest:
        return "was not checked against this release of"
    if summary.weights == "trained":
        same = record.train_digest == summary.training_digest
        return "" if same else "as the network was trained on it was not checked against"
    part = f"was checked in part only ({record.train_pairs:,} pairs) against"
    return "" if record.complete else part
