"""Results of a dataset check: findings about one dataset, and overlaps between two."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from dgunet.data.check.fingerprints import Fingerprint

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class DatasetFinding:
    """One finding about a dataset; an error makes the check fail."""

    level: Level
    text: str


@dataclass
class DatasetReport:
    """Result of the check of one dataset.

    Attributes:
        dataset: catalogue name.
        role: ``train`` or ``test``.
        folder: folder of the dataset.
        layout: catalogue name of its layout.
        pairs: number of complete pairs.
        published_pairs: number of pairs of the published release.
        sizes: number of pairs by "WxH".
        kinds: number of files by format and colour mode.
        grey_pictures: number of images without colour in a colour dataset.
        input_psnr: mean PSNR of the inputs on Y in dB.
        input_lift: mean brightness of inputs minus that of targets, in grey levels.
        distinct: number of different photographs.
        repeated: ids of the images that show the same photograph, by photograph.
        digest: digest of the store that would be prepared.
        release: name of the release and how far it is verified, "" if it is unknown.
        findings: in the order in which they were found.
        fingerprints: by id, for `dgunet.data.check.dataset_check.find_overlaps`.
    """

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
    findings: list[DatasetFinding] = field(default_factory=list)
    fingerprints: dict[str, Fingerprint] = field(default_factory=dict, repr=False)

    @property
    def healthy(self) -> bool:
        """Whether there is no error; warnings and notes are allowed."""
        return all(finding.level != "error" for finding in self.findings)

    def add(self, level: Level, text: str) -> None:
        """Add a finding."""
        self.findings.append(DatasetFinding(level, text))


@dataclass(frozen=True)
class Overlap:
    """Images of a test set whose photographs are also in a training set.

    Attributes:
        train: catalogue name of the training set.
        test: catalogue name of the test set.
        shared: pairs of ids (test image, training image).
        test_pictures: number of images of the test set.
        turned: those of ``shared`` that are mirrored or rotated.
    """

    train: str
    test: str
    shared: tuple[tuple[str, str], ...]
    test_pictures: int
    turned: tuple[tuple[str, str], ...] = ()

    def text(self) -> str:
        """Summary in one line."""
        ours, theirs = (len({pair[half] for pair in self.shared}) for half in (0, 1))
        examples = ", ".join(f"{test} = {train}" for test, train in self.shared[:3])
        more = ", ..." if len(self.shared) > 3 else ""
        return (
            f"{ours} of {self.test_pictures} photographs of {self.test} are also in"
            f" {self.train} ({examples}{more})"
            + (f", as {theirs} distinct image{'s' * (theirs > 1)}" if theirs != ours else "")
            + (f", {len(self.turned)} of them mirrored or rotated" if self.turned else "")
        )


@dataclass(frozen=True)
class SharedPhotographs:
    """Photographs that are in two test sets; no leak.

    Attributes:
        first, second: catalogue names of the test sets.
        shared: pairs of ids (image of ``first``, image of ``second``).
        images: number of images of ``first`` and of ``second``.
    """

    first: str
    second: str
    shared: tuple[tuple[str, str], ...]
    images: tuple[int, int]

    def text(self) -> str:
        """Summary in one line."""
        ours, theirs = (len({pair[half] for pair in self.shared}) for half in (0, 1))
        examples = ", ".join(f"{first} = {second}" for first, second in self.shared[:3])
        more = ", ..." if len(self.shared) > 3 else ""
        return (
            f"{ours} of the {self.images[0]} images of {self.first} and {theirs} of the"
            f" {self.images[1]} of {self.second} show the same photographs ({examples}{more});"
            " both are test sets"
        )
