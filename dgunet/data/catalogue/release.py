"""Releases of a dataset: the contents under which one name circulates."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Release(BaseModel):
    """One content under which a dataset circulates, how it is told from the others, what to do.

    Attributes:
        name: a noun phrase that can follow "this is" and "3 of", such as "MSPFN's 98 pairs".
        pairs: number of pairs; of an incomplete download, the number that it should have.
        published: whether the published numbers were made with it; one release of a set is.
        stated_by: who says so.
        digest: digest of its store (ids, shapes and pixels of all records); "" if it is unknown.
        input_psnr: mean PSNR of its degraded images in dB, on Y as in its protocol.
        extra: names of files without a counterpart that only this release has.
        incomplete: example of the numbers of degraded and of clean images that arrive of a download
            which stops short; None for a release with its pairs complete.
        mend: what a user does who has this release; "" for the published one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    pairs: int = Field(gt=0)
    published: bool = False
    stated_by: str = Field(min_length=1)
    digest: str = Field("", pattern=r"^([0-9a-f]{64})?$")
    input_psnr: float | None = None
    extra: tuple[str, ...] = ()
    incomplete: tuple[int, int] | None = None
    mend: str = ""

    @property
    def paired(self) -> bool:
        """Whether every image has its counterpart."""
        return not self.extra and self.incomplete is None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.published and not self.paired:
            raise ValueError("the published release is complete: no extra, no incomplete")
        if self.published == bool(self.mend):
            raise ValueError("every release has a mend except the published one")
        if self.incomplete is not None and not (
            min(self.incomplete) > 0 and max(self.incomplete) <= self.pairs
        ):
            raise ValueError(f"incomplete has 1 to {self.pairs} images of each kind")
        return self


class PrintedNumber(BaseModel):
    """The number of pairs that the paper prints for a dataset, and where: "in Section 4.2"."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pairs: int = Field(gt=0)
    where: str = Field(min_length=1)


def check_releases(releases: Sequence[Release]) -> None:
    """Refuse releases of one dataset among which none, or more than one, can be recognised.

    Raises:
        ValueError: unless one is published, the names differ, and any two with complete pairs
            differ in number; one that has as many pairs as the published one is told from it by
            the input PSNR, which the published one must state.
    """
    published = [release for release in releases if release.published]
    if len(published) != 1:
        raise ValueError(f"{len(published)} releases are published: one must be")
    if len({release.name for release in releases}) < len(releases):
        raise ValueError("two releases have the same name")
    for first, second in combinations([r for r in releases if r.paired], 2):
        if first.pairs != second.pairs:
            continue
        if published[0] not in (first, second):
            raise ValueError(f"{first.name} and {second.name} have the same number of pairs")
        if published[0].input_psnr is None:
            raise ValueError(f"nothing tells {first.name} from {second.name}")
