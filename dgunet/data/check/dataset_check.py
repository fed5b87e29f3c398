"""Dataset check: contents of a dataset on disk, and overlaps between datasets.

The check reads every image and collects all errors, where preparation stops at the first one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dgunet.data.catalogue.entries import DatasetInfo, dataset
from dgunet.data.check.examination import Comparison, examine_all
from dgunet.data.check.fingerprints import (
    SYMMETRIES,
    Fingerprint,
    FingerprintIndex,
    closest,
    groups,
    outlines,
    turned,
)
from dgunet.data.check.page import html_page
from dgunet.data.check.reports import DatasetReport, Overlap, SharedPhotographs
from dgunet.data.readers.folder_layouts import find_tree, read_pairs
from dgunet.data.readers.pair_direction import looks_swapped
from dgunet.data.readers.pairing import INCOMPLETE, Pair, unpaired_text
from dgunet.data.store.recognition import (
    PixelKey,
    ReleaseMeasurements,
    measure_listing,
    other_release_text,
    recognise,
)
from dgunet.data.store.records import content_digest, joined_line
from dgunet.data.store.releases import partly_known, pixel_key, release_doubts, release_name
from dgunet.system import files
from dgunet.system.errors import DataError

LISTED = 20
"""Maximum number of images without counterpart that are named; there may be thousands."""

Observe = Callable[[str, int, int], None]
"""Called with (dataset, pairs read, total pairs)."""


def check_dataset(
    name: str, root: Path, *, workers: int | None = None, observe: Observe | None = None
) -> DatasetReport:
    """Read every image of dataset ``name`` under ``root`` and report the findings.

    Args:
        name: a catalogue name.
        root: the folder of the official trees.
        workers: number of processes; None means one per processor for a large dataset.
        observe: receives the progress.

    Raises:
        DataError: for an unknown name; every other problem is a finding.
    """
    info = dataset(name)
    report = DatasetReport(info.name, info.role, published_pairs=info.pairs)
    try:
        tree, folder = find_tree(info, root)
        found = read_pairs(info, root, unpaired=True)
    except DataError as error:
        report.add("error", str(error))
        return report
    pairs = [pair for pair in found if not pair.lacks]
    report.folder, report.layout, report.pairs = str(folder), tree.layout, len(pairs)
    _compare_listing(info, report, found)
    notify = observe or (lambda name, done, total: None)
    _read(info, pairs, report, workers, lambda done: notify(info.name, done, len(pairs)))
    return report


def _compare_listing(info: DatasetInfo, report: DatasetReport, found: list[Pair]) -> None:
    """Report what the names of the files show: another release, missing images, other numbers."""
    measured = measure_listing(found)
    other = other_release_text(info, measured)
    if other and measured.unpaired:  # the name of any other release is among its doubts
        report.add("error", other)
    _list_unpaired(
        report, [pair for pair in found if pair.lacks], "" if other else f" {INCOMPLETE}"
    )
    if report.pairs == info.pairs or other:
        return
    meaning = info.counts.get(report.pairs, "")
    report.add(
        "warning",
        f"{report.pairs:,} pairs instead of the published {info.pairs:,}"
        + (f": {meaning}" if meaning else ""),
    )


def _list_unpaired(report: DatasetReport, unpaired: list[Pair], hint: str) -> None:
    for pair in unpaired[:LISTED]:
        report.add("error", f"{unpaired_text(pair)}.{hint}")
    if len(unpaired) > LISTED:
        report.add("error", f"{len(unpaired) - LISTED:,} more images have no counterpart.")


def _read(
    info: DatasetInfo,
    pairs: list[Pair],
    report: DatasetReport,
    workers: int | None,
    observe: Callable[[int], None],
) -> None:
    sizes: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    lines: list[str] = []
    pixels: dict[str, PixelKey] = {}
    compared: list[Comparison] = []
    for found in examine_all(pairs, workers=workers, observe=observe):
        if found.error:
            report.add("error", found.error)
            continue
        sizes[found.size] += 1
        kinds.update(found.kinds)
        pixels[found.id] = pixel_key(*found.digests)
        lines.append(joined_line(found.id, *found.digests))
        report.grey_pictures += found.colourless
        if found.fingerprint is not None:
            report.fingerprints[found.id] = found.fingerprint
        if found.compared is not None:
            compared.append(found.compared)
    report.sizes, report.kinds = dict(sizes.most_common()), dict(kinds.most_common())
    if len(lines) == len(pairs):
        report.digest = content_digest(lines)
    if compared:
        report.input_psnr = float(np.mean([each.psnr for each in compared]))
        report.input_lift = float(np.mean([each.lift for each in compared]))
        rougher = sum(each.rougher for each in compared)
        if looks_swapped(info.task, rougher / len(compared)):
            report.add(
                "error",
                f"input and target look swapped: {rougher} of {len(compared)} inputs have more"
                " detail than their targets",
            )
    _identify(info, report, pixels)
    _find_duplicates(report)


def _identify(info: DatasetInfo, report: DatasetReport, pixels: dict[str, PixelKey]) -> None:
    measured = ReleaseMeasurements(
        report.pairs, report.digest, report.sizes, report.input_psnr, report.input_lift, pixels
    )
    report.release = release_name(info, measured)
    if not report.release and (release := recognise(info, measured)) is not None:
        report.release = f"{release.name}, not verified by pixels"
    for text in release_doubts(info, measured):
        report.add("warning", text)
    if text := partly_known(info, measured):
        report.add("note", text)


def _find_duplicates(report: DatasetReport) -> None:
    same = groups(report.fingerprints.items())
    report.distinct = len(same)
    report.repeated = [members for members in same if len(members) > 1]
    if report.repeated:
        examples = "; ".join(" = ".join(members) for members in report.repeated[:3])
        report.add(
            "note",
            f"{len(same)} distinct photographs among {len(report.fingerprints)}: {examples}"
            + ("; ..." if len(report.repeated) > 3 else ""),
        )


def find_overlaps(reports: Iterable[DatasetReport]) -> list[Overlap]:
    """Find the test photographs that are also training photographs, by pair of datasets.

    Crops, and whole images at another size, are found upright, mirrored or rotated. Resized crops
    are not found.
    """
    reports = list(reports)
    tests = [report for report in reports if report.role == "test"]
    overlaps = []
    for train in (report for report in reports if report.role == "train"):
        search = _Search(train)
        for test in tests:
            shared, moved = search.photographs_of(test)
            if shared:
                total = len(test.fingerprints)
                overlaps.append(Overlap(train.dataset, test.dataset, shared, total, moved))
    return overlaps


def find_shared_photographs(reports: Iterable[DatasetReport]) -> list[SharedPhotographs]:
    """Find the photographs that two test sets share, as `find_overlaps` finds leaked ones.

    They are no leak, but the scores of the two sets are not independent.
    """
    tests = [report for report in reports if report.role == "test"]
    found = []
    for number, second in enumerate(tests):
        if not number:
            continue
        search = _Search(second)
        for first in tests[:number]:
            shared, _ = search.photographs_of(first)
            if shared:
                sizes = len(first.fingerprints), len(second.fingerprints)
                found.append(SharedPhotographs(first.dataset, second.dataset, shared, sizes))
    return found


class _Search:
    """The photographs of one dataset, to find those of others among them."""

    def __init__(self, report: DatasetReport) -> None:
        self._index = FingerprintIndex()
        for key, image in report.fingerprints.items():
            self._index.add(key, image)
        self._keys = list(report.fingerprints)
        self._whole = outlines(list(report.fingerprints.values()))

    def photographs_of(
        self, report: DatasetReport
    ) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
        """Pairs of ids (of ``report``, of this dataset), and those mirrored or rotated."""
        found = {
            (key, same[0]): same[1]
            for key, image in report.fingerprints.items()
            if (same := _same_photograph(image, self._index, self._keys, self._whole)) is not None
        }
        return tuple(found), tuple(pair for pair, code in found.items() if code)


def _same_photograph(
    image: Fingerprint, index: FingerprintIndex, keys: list[str], whole: NDArray[np.float32]
) -> tuple[str, int] | None:
    """Image in the index of the same photograph, and the `dihedral` code that maps to it."""
    if found := index.copies(image):
        best = max(found, key=lambda name: found[name][0])
        return best, found[best][1]
    for code in range(SYMMETRIES):
        if (copy := closest(turned(image, code), whole)) is not None:
            return keys[copy], code
    return None


def write_report(
    reports: list[DatasetReport],
    overlaps: list[Overlap],
    path: Path,
    shared: Sequence[SharedPhotographs] = (),
) -> None:
    """Write the reports as JSON, or as an HTML page if ``path`` ends in ``.html``."""
    if path.suffix == ".html":
        files.write_text(path, html_page(reports, overlaps, shared))
        return
    content = {
        "sets": [
            {
                key: [vars(finding) for finding in value] if key == "findings" else value
                for key, value in vars(report).items()
                if key != "fingerprints"
            }
            for report in reports
        ],
        "overlaps": [vars(overlap) for overlap in overlaps],
        "shared_by_test_sets": [vars(each) for each in shared],
    }
    files.write_json(path, content)
