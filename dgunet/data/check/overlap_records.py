"""Records of the overlaps that a dataset check found, for the leak-corrected values."""

from __future__ import annotations

from collections.abc import Sequence

from dgunet.data.catalogue.overlaps import OverlapRecord
from dgunet.data.check.reports import DatasetReport, Overlap

FOUND = (
    "dgunet data check: copies and crops, upright, mirrored or rotated, and whole images at "
    "another size; resized crops are not found"
)


def overlap_records(
    reports: Sequence[DatasetReport], overlaps: Sequence[Overlap]
) -> list[OverlapRecord]:
    """One record for every training set and test set in ``reports``, also without overlaps.

    Sets with unreadable images have no digest, and no record.

    Args:
        reports: as `dgunet.data.check.dataset_check.check_dataset` returns them.
        overlaps: as `dgunet.data.check.dataset_check.find_overlaps` returns them for ``reports``.
    """
    shared = {
        (overlap.train, overlap.test): sorted({image for image, _ in overlap.shared})
        for overlap in overlaps
    }
    known = [report for report in reports if report.digest]
    return [
        OverlapRecord(
            train=train.dataset,
            train_digest=train.digest,
            test=test.dataset,
            test_digest=test.digest,
            train_pairs=train.pairs,
            complete=train.pairs == train.published_pairs,
            images=shared.get((train.dataset, test.dataset), []),
            found=FOUND,
        )
        for train in known
        if train.role == "train"
        for test in known
        if test.role == "test"
    ]
