"""Recognition of the releases that the catalogue describes, and what their users are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dgunet.data.catalogue.entries import DatasetInfo
from dgunet.data.catalogue.release import Release
from dgunet.data.readers.folder_layouts import read_pairs
from dgunet.data.readers.images import LazyImage
from dgunet.data.readers.pairing import Pair, refuse_unpaired, unpaired_text
from dgunet.system.errors import DataError

PSNR_TOLERANCE = 0.05
"""Tolerance of the mean input PSNR relative to a release's, in dB."""

PixelKey = tuple[str, str]
"""First digits of the SHA-256 of the pixels of input and target; "-" if one is absent."""


@dataclass(frozen=True)
class ReleaseMeasurements:
    """Measurements that distinguish releases of a dataset.

    Attributes:
        pairs: number of complete pairs.
        digest: digest of the store that would be prepared; "" if a file does not decode.
        sizes: number of pairs by "WxH".
        input_psnr: mean PSNR of the inputs on Y in dB; None if it was not measured.
        input_lift: mean brightness of inputs minus that of targets in grey levels; None likewise.
        pixels: keys by id of the pairs that decode; empty if pixels were not read one by one.
        unpaired: names of the files of images without counterpart.
        images: number of degraded and of clean images, with and without counterpart.
    """

    pairs: int
    digest: str = ""
    sizes: Mapping[str, int] = field(default_factory=dict)
    input_psnr: float | None = None
    input_lift: float | None = None
    pixels: Mapping[str, PixelKey] = field(default_factory=dict)
    unpaired: tuple[str, ...] = ()
    images: tuple[int, int] = (0, 0)


def measure_listing(pairs: Sequence[Pair]) -> ReleaseMeasurements:
    """Measure what the names of a dataset's files show; no file is opened.

    Args:
        pairs: of a reader of `dgunet.data.readers.folder_layouts`, unpaired images included.
    """
    return ReleaseMeasurements(
        sum(not pair.lacks for pair in pairs),
        unpaired=tuple(_lonely(pair).path.name for pair in pairs if pair.lacks),
        images=(
            sum(pair.input is not None for pair in pairs),
            sum(pair.target is not None for pair in pairs),
        ),
    )


def _lonely(pair: Pair) -> LazyImage:
    image = pair.input or pair.target
    assert image is not None
    return image


def recognise(info: DatasetInfo, measured: ReleaseMeasurements) -> Release | None:
    """Release of dataset ``info`` with these measurements; None if none has them.

    A digest decides. Images without counterpart are those of a release that has them as ``extra``,
    or of an incomplete download. Otherwise the release has this number of pairs and, as far as both
    are known, this input PSNR; the published one has not if its digest is known and differs, nor
    has another one with the number of the published one unless the input PSNR shows it.
    """
    if whole := [r for r in info.releases if r.digest and r.digest == measured.digest]:
        return whole[0]
    ordered = sorted(info.releases, key=lambda release: not release.published)
    return next((release for release in ordered if _fits(info, release, measured)), None)


def _fits(info: DatasetInfo, release: Release, measured: ReleaseMeasurements) -> bool:
    if measured.unpaired:
        if release.extra:
            return set(measured.unpaired) == set(release.extra)
        return release.incomplete is not None and max(measured.images) <= release.pairs
    if not release.paired or release.pairs != measured.pairs:
        return False
    if release.published:
        digest_differs = bool(release.digest and measured.digest)
        return not digest_differs and not is_other_quality(release, measured)
    if is_other_quality(release, measured):
        return False
    # Only its input PSNR shows that it is not the published release with the same number of pairs.
    return release.pairs != info.pairs or is_other_quality(info.published_release, measured)


def is_other_quality(release: Release, measured: ReleaseMeasurements) -> bool:
    """Whether the input PSNR is known and differs from that of ``release``, if that is known."""
    expected, psnr = release.input_psnr, measured.input_psnr
    return expected is not None and psnr is not None and abs(psnr - expected) > PSNR_TOLERANCE


def other_release_text(info: DatasetInfo, measured: ReleaseMeasurements) -> str:
    """Name of the recognised release, how it shows, and the mend; "" for the published one."""
    release = recognise(info, measured)
    if release is None or release.published:
        return ""
    named = f'this is "{release.name}" ({release.stated_by}): '
    if not release.paired:
        degraded, clean = measured.images
        shown = f"{degraded:,} degraded and {clean:,} clean images instead of {info.pairs:,} pairs"
    else:
        published = info.published_release
        shown = f"{measured.pairs:,} pairs"
        if release.pairs == published.pairs:
            shown = (
                f"mean input PSNR {measured.input_psnr:.2f} dB instead of"
                f" {published.input_psnr:.2f} dB"
            )
        shown += f"; the published numbers were made with {published.name} ({published.stated_by})"
    return f"{named}{shown}. {release.mend}"


def read_complete_pairs(info: DatasetInfo, root: Path) -> list[Pair]:
    """All pairs of a dataset, as `read_pairs`; a release that lacks some is named.

    Raises:
        DataError: as `read_pairs` and `refuse_incomplete`.
    """
    pairs = read_pairs(info, root, unpaired=True)
    refuse_incomplete(info, pairs)
    return pairs


def refuse_incomplete(info: DatasetInfo, pairs: Sequence[Pair]) -> None:
    """Refuse images without counterpart; a release that has them is named, with its mend.

    Raises:
        DataError: naming the release and its folder, or else the first such image.
    """
    unpaired = [pair for pair in pairs if pair.lacks]
    if not unpaired:
        return
    measured = measure_listing(pairs)
    release = recognise(info, measured)
    if release is None or release.published:
        refuse_unpaired(unpaired)
        return
    text = other_release_text(info, measured).removesuffix(f". {release.mend}")
    raise DataError(f"{info.name}: {unpaired_text(unpaired[0])}: {text}.", release.mend)
