"""Dataset check: contents of a dataset on disk, and overlaps between datasets.

The check reads every image and collects all errors, where preparation stops at the first one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import groupby
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
from dgunet.data.check.reports import DatasetReport, Overlap
from dgunet.data.readers.folder_layouts import find_tree, read_pairs
from dgunet.data.readers.pair_direction import looks_swapped
from dgunet.data.readers.pairing import INCOMPLETE, Pair, unpaired_text
from dgunet.data.store.records import content_digest, joined_line
from dgunet.data.store.releases import (
    PixelKey,
    ReleaseMeasurements,
    partly_known,
    pixel_key,
    release_doubts,
    release_name,
)
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
    _list_unpaired(report, [pair for pair in found if pair.lacks])
    if len(pairs) != info.pairs:
        meaning = info.counts.get(len(pairs), "")
        report.add(
            "warning",
            f"{len(pairs):,} pairs instead of the published {info.pairs:,}"
            + (f": {meaning}" if meaning else ""),
        )
    notify = observe or (lambda name, done, total: None)
    _read(info, pairs, report, workers, lambda done: notify(info.name, done, len(pairs)))
    return report


def _list_unpaired(report: DatasetReport, unpaired: list[Pair]) -> None:
    for pair in unpaired[:LISTED]:
        report.add("error", f"{unpaired_text(pair)}. {INCOMPLETE}")
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
    by_role = {
        role: list(members)
        for role, members in groupby(sorted(reports, key=lambda r: r.role), key=lambda r: r.role)
    }
    overlaps = []
    for train in by_role.get("train", []):
        index = FingerprintIndex()
        for key, image in train.fingerprints.items():
            index.add(key, image)
        keys = list(train.fingerprints)
        whole = outlines(list(train.fingerprints.values()))
        for test in by_role.get("test", []):
            found = {
                (key, same[0]): same[1]
                for key, image in test.fingerprints.items()
                if (same := _same_photograph(image, index, keys, whole)) is not None
            }
            if found:
                moved = tuple(pair for pair, code in found.items() if code)
                total = len(test.fingerprints)
                overlaps.append(Overlap(train.dataset, test.dataset, tuple(found), total, moved))
    return overlaps


def _same_photograph(
    image: Fingerprint, index: FingerprintIndex, keys: list[str], whole: NDArray[np.float32]
) -> tuple[str, int] | None:
    """Training image that shows the same photograph, and the `dihedral` code that maps to it."""
    if found := index.copies(image):
        best = max(found, key=lambda name: found[name][0])
        return best, found[best][1]
    for code in range(SYMMETRIES):
        if (copy := closest(turned(image, code), whole)) is not None:
            return keys[copy], code
    return None


def write_report(reports: list[DatasetReport], overlaps: list[Overlap], path: Path) -> None:
    """Write the reports as JSON, or as an HTML page if ``path`` ends in ``.html``."""
    if path.suffix == ".html":
        files.write_text(path, html_page(reports, overlaps))
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
    }
    files.write_json(path, content)
