"""The doctor: what a set on disk really is, and where sets overlap.

Reads every picture of a set and collects all that is wrong, where preparation stops at the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dgunet.data.catalogue.entries import DatasetInfo, dataset
from dgunet.data.check.examination import Comparison, examine_all
from dgunet.data.check.fingerprints import (
    SYMMETRIES,
    Fingerprint,
    Index,
    closest,
    groups,
    outlines,
    turned,
)
from dgunet.data.readers.folder_layouts import find_tree, read_pairs
from dgunet.data.readers.pair_direction import looks_swapped
from dgunet.data.readers.pairing import INCOMPLETE, Pair, lonely_text
from dgunet.data.store.pair_store import content_digest, joined_line
from dgunet.data.store.releases import PixelKey, Seen, doubts, known_as, partly_known, pixel_key
from dgunet.system import files
from dgunet.system.errors import DataError

Level = Literal["error", "warning", "note"]

LISTED = 20
"""So many pictures without partner are named; of a half-copied set it may be thousands."""

Observe = Callable[[str, int, int], None]
"""Called with (set, pairs read, pairs in all)."""


@dataclass(frozen=True)
class Finding:
    """One thing to know about a set; an error makes the check fail."""

    level: Level
    text: str


@dataclass
class Report:
    """What the doctor says of one set."""

    dataset: str
    role: str
    folder: str = ""
    layout: str = ""
    pairs: int = 0
    published_pairs: int = 0
    sizes: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)
    grey_pictures: int = 0
    input_psnr: float | None = None
    input_lift: float | None = None
    distinct: int = 0
    repeated: list[list[str]] = field(default_factory=list)
    digest: str = ""
    release: str = ""
    findings: list[Finding] = field(default_factory=list)
    fingerprints: dict[str, Fingerprint] = field(default_factory=dict, repr=False)

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong; warnings and notes are not errors."""
        return all(finding.level != "error" for finding in self.findings)

    def say(self, level: Level, text: str) -> None:
        """Add a finding."""
        self.findings.append(Finding(level, text))


@dataclass(frozen=True)
class Overlap:
    """Pictures of a test set whose photographs are also in a training set.

    ``shared`` are pairs (test picture, training picture); ``turned`` are those of them that are
    mirrored or turned.
    """

    train: str
    test: str
    shared: tuple[tuple[str, str], ...]
    test_pictures: int
    turned: tuple[tuple[str, str], ...] = ()

    def text(self) -> str:
        """One line."""
        pictures, others = (len({pair[half] for pair in self.shared}) for half in (0, 1))
        examples = ", ".join(f"{test} = {train}" for test, train in self.shared[:3])
        more = ", ..." if len(self.shared) > 3 else ""
        return (
            f"{pictures} of {self.test_pictures} photographs of {self.test} are also in"
            f" {self.train} ({examples}{more})"
            + (f", where they are {others}" if others != pictures else "")
            + (f", {len(self.turned)} of them mirrored or turned" if self.turned else "")
        )


def check_dataset(
    name: str, root: Path, *, workers: int | None = None, observe: Observe | None = None
) -> Report:
    """Read every picture of set ``name`` under ``root`` and report.

    Args:
        name: a catalogue key.
        root: the folder of the official trees.
        workers: processes; None takes one a processor for a large set.
        observe: progress.

    Raises:
        DataError: for an unknown name; everything else is a finding.
    """
    info = dataset(name)
    report = Report(info.name, info.role, published_pairs=info.pairs)
    try:
        tree, folder = find_tree(info, root)
        found = read_pairs(info, root, lonely=True)
    except DataError as error:
        report.say("error", str(error))
        return report
    pairs = [pair for pair in found if not pair.lacks]
    report.folder, report.layout, report.pairs = str(folder), tree.layout, len(pairs)
    _list_lonely(report, [pair for pair in found if pair.lacks])
    if len(pairs) != info.pairs:
        means = info.counts.get(len(pairs), "")
        report.say(
            "warning",
            f"{len(pairs)} pairs, published are {info.pairs}" + (f": {means}" if means else ""),
        )
    tell = observe or (lambda name, done, total: None)
    _read(info, pairs, report, workers, lambda done: tell(info.name, done, len(pairs)))
    return report


def _list_lonely(report: Report, lonely: list[Pair]) -> None:
    for pair in lonely[:LISTED]:
        report.say("error", f"{lonely_text(pair)}. {INCOMPLETE}")
    if len(lonely) > LISTED:
        report.say("error", f"{len(lonely) - LISTED:,} more pictures have no partner.")


def _read(
    info: DatasetInfo,
    pairs: list[Pair],
    report: Report,
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
            report.say("error", found.error)
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
            report.say(
                "error",
                f"input and target look swapped: {rougher} of {len(compared)} inputs have more"
                " detail than their targets",
            )
    _identify(info, report, pixels)
    _find_duplicates(report)


def _identify(info: DatasetInfo, report: Report, pixels: dict[str, PixelKey]) -> None:
    measured = report.sizes, report.input_psnr, report.input_lift
    seen = Seen(report.pairs, report.digest, *measured, pixels)
    report.release = known_as(info, seen)
    for text in doubts(info, seen):
        report.say("warning", text)
    if text := partly_known(info, seen):
        report.say("note", text)


def _find_duplicates(report: Report) -> None:
    same = groups(report.fingerprints.items())
    report.distinct = len(same)
    report.repeated = [members for members in same if len(members) > 1]
    if report.repeated:
        examples = "; ".join(" = ".join(members) for members in report.repeated[:3])
        report.say(
            "note",
            f"{len(same)} distinct photographs among {len(report.fingerprints)}: {examples}"
            + ("; ..." if len(report.repeated) > 3 else ""),
        )


def find_overlaps(reports: Iterable[Report]) -> list[Overlap]:
    """The test photographs that are also training photographs, by pair of sets.

    A crop is found in the whole it was cut from, and a whole at another size, upright, mirrored or
    turned; a resized crop is not.
    """
    by_role = {
        role: list(members)
        for role, members in groupby(sorted(reports, key=lambda r: r.role), key=lambda r: r.role)
    }
    overlaps = []
    for train in by_role.get("train", []):
        index = Index()
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
                pictures = len(test.fingerprints)
                overlaps.append(Overlap(train.dataset, test.dataset, tuple(found), pictures, moved))
    return overlaps


def _same_photograph(
    image: Fingerprint, index: Index, keys: list[str], whole: NDArray[np.float32]
) -> tuple[str, int] | None:
    """The picture of a set that shows what ``image`` shows, and how ``image`` has to be turned."""
    if found := index.copies(image):
        best = max(found, key=lambda name: found[name][0])
        return best, found[best][1]
    for code in range(SYMMETRIES):
        if (copy := closest(turned(image, code), whole)) is not None:
            return keys[copy], code
    return None


def write_report(reports: list[Report], overlaps: list[Overlap], path: Path) -> None:
    """Write the reports as JSON, or as an HTML page if ``path`` ends in ``.html``."""
    if path.suffix == ".html":
        from dgunet.data.check.page import page

        files.write_text(path, page(reports, overlaps))
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
