"""Detection of the same photograph in two datasets, even if one has only a crop of it.

An image is described by 64-bit hashes of small windows around its corners. The same content gives
the same hashes wherever the border of a crop is, so two images of the same scene at the same scale
share many hashes with one common displacement. Every window is hashed once, so that a search is
linear in the number of images.

A resized copy has different windows. It is found by its outline: a thumbnail of the whole
image without its low frequencies, compared by correlation.

Windows and outlines are symmetric about their centre, so that the description of a mirrored or
rotated copy follows from the image's own; see `turned`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dgunet.data.batches.augment import dihedral
from dgunet.data.readers.images import Pixels
from dgunet.imaging.opencv import cv2

SPACING = 11
"""A corner has the strongest response in the square of this side around it, in pixels."""

FAINTEST = 1e-6
"""Threshold of a corner's smaller eigenvalue of the structure tensor."""

WINDOW = 32
"""Side of the window around a corner in pixels."""

CELLS = 8
"""Values per side that describe a window; each gives one bit: above their mean or not."""

CHANGES = 5
"""Minimum number of neighbouring bits that differ, separately along rows and columns."""

REACH = 5
"""Side of the square whose average is one value; odd, so that it has a central pixel."""

VOTES = 6
"""Number of equally displaced windows (within `SLACK`) that identify a photograph.

Different images of Rain100L, Set11, BSD68, BSD400 and a part of Rain13K reach at most 3, upright
or rotated; the 75 images of Rain100L that are crops of BSD400 images have 10 or more.
"""

SLACK = 2
"""Tolerance of a displacement in pixels."""

SYMMETRIES = 8
"""Flips and rotations of an image; see `turned`."""

COMMON = 24
"""A hash with more windows than this (a straight edge, a clear sky) is ignored."""

THUMBNAIL = 32
"""Side of an outline in pixels."""

SHADES = 3.0
"""Standard deviation of the Gaussian blur subtracted from the thumbnail, in its pixels."""

PLAIN = 3.0
"""RMS in grey levels below which an outline is too faint to be compared."""

ALIKE = 0.9
"""Minimum correlation of the outlines of two copies.

Among the 619 real images of Rain100L, Set11, BSD68, BSD400 and a part of Rain13K, and 10 of GoPro
and SIDD, different ones reach at most 0.70. Copies as JPEG (quality 75) have 0.98 at 0.5 to 2 times
the size, 0.92 at 0.4; at 0.3 some are missed (0.83).
"""


@dataclass(frozen=True)
class Fingerprint:
    """Description of one image for the search of copies.

    Attributes:
        corners: n x 2, int32: row, column.
        hashes: n hashes of the windows around them.
        outline: thumbnail of unit length, THUMBNAIL^2 values; zeros for plain or tiny images.
    """

    corners: NDArray[np.int32]
    hashes: NDArray[np.uint64]
    outline: NDArray[np.float32]


def fingerprint(image: Pixels) -> Fingerprint:
    """Describe an image H x W x C, uint8; the result is empty for one smaller than a window."""
    grey = image[..., 0] if image.shape[2] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    half = WINDOW // 2
    if min(height, width) <= WINDOW:
        nothing = np.zeros(THUMBNAIL**2, np.float32)
        return Fingerprint(np.empty((0, 2), np.int32), np.empty(0, np.uint64), nothing)
    smooth = cv2.GaussianBlur(grey, (0, 0), 1.5)
    # Every decision is local, so that a crop keeps the corners of the whole image.
    response = cv2.cornerMinEigenVal(smooth, 5)
    peaks = response == cv2.dilate(response, np.ones((SPACING, SPACING), np.uint8))
    peaks &= response > FAINTEST
    peaks[:half] = peaks[height - half :] = False
    peaks[:, :half] = peaks[:, width - half :] = False
    corners = np.argwhere(peaks).astype(np.int32)
    averaged = cv2.blur(smooth.astype(np.float32), (REACH, REACH))
    step = WINDOW // CELLS
    offsets = np.arange(CELLS) * step - (CELLS - 1) * step // 2  # -14, -10, .. 14
    rows = corners[:, 0, None, None] + offsets[:, None]
    columns = corners[:, 1, None, None] + offsets
    cells = averaged[rows, columns].reshape(-1, CELLS * CELLS)
    bits = cells > cells.mean(axis=1, keepdims=True)
    hashes = np.packbits(bits, axis=1).view(np.uint64)[:, 0]
    # Windows of one level or of one straight edge occur everywhere.
    distinctive = (cells.std(axis=1) > 4.0) & _varied(bits.reshape(-1, CELLS, CELLS))
    return Fingerprint(corners[distinctive], hashes[distinctive], _outline(grey))


def _varied(bits: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Windows (n x CELLS x CELLS) that change both from row to row and from column to column."""
    down = (bits[:, 1:] != bits[:, :-1]).sum(axis=(1, 2))
    across = (bits[:, :, 1:] != bits[:, :, :-1]).sum(axis=(1, 2))
    varied: NDArray[np.bool_] = (down >= CHANGES) & (across >= CHANGES)
    return varied


def _outline(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    whole = grey.astype(np.float32)
    small = cv2.resize(whole, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    detail = np.asarray(small - cv2.GaussianBlur(small, (0, 0), SHADES), np.float32).ravel()
    detail -= detail.mean()
    length = float(np.linalg.norm(detail))
    return detail / length if length > PLAIN * THUMBNAIL else np.zeros_like(detail)


def turned(image: Fingerprint, code: int) -> Fingerprint:
    """Fingerprint of the image flipped or rotated by a code of `dihedral`, 0 to 7.

    All corners have the same additional displacement, which depends on the size of the image.
    """
    bits = np.unpackbits(image.hashes.view(np.uint8)).reshape(-1, CELLS, CELLS)
    moved = np.ascontiguousarray(dihedral(bits.transpose(1, 2, 0), code).transpose(2, 0, 1))
    hashes = np.packbits(moved.reshape(-1, CELLS * CELLS), axis=1).view(np.uint64)[:, 0]
    outline = dihedral(image.outline.reshape(THUMBNAIL, THUMBNAIL, 1), code)
    return Fingerprint(
        image.corners @ _matrix(code).T, hashes, np.ascontiguousarray(outline).reshape(-1)
    )


def _matrix(code: int) -> NDArray[np.int32]:
    """Matrix of a code on (row, column) without displacement, derived from a numbered square."""
    marked = dihedral(np.arange(9, dtype=np.uint8).reshape(3, 3, 1), code)[..., 0]
    middle = np.argwhere(marked == 4)[0]
    down, right = (np.argwhere(marked == value)[0] - middle for value in (7, 5))
    return np.stack([down, right], axis=1).astype(np.int32)


def closest(image: Fingerprint, outlines: NDArray[np.float32]) -> int | None:
    """Row of ``outlines`` (n x THUMBNAIL^2) that is a copy of ``image`` at any size, or None."""
    if not len(outlines):
        return None
    correlations = outlines @ image.outline
    best = int(correlations.argmax())
    return best if correlations[best] >= ALIKE else None


def outlines(images: Sequence[Fingerprint]) -> NDArray[np.float32]:
    """Outlines of the images as rows, for `closest`."""
    return np.array([image.outline for image in images], np.float32).reshape(-1, THUMBNAIL**2)


class FingerprintIndex:
    """Index of fingerprints by hash: `add` images, then find copies of another one with `matches`.

    It takes 20 bytes per window; an image of half a megapixel has a few hundred windows.
    """

    def __init__(self) -> None:
        self._keys: list[str] = []
        self._images: list[Fingerprint] = []
        self._table = _WindowTable.of(())

    def add(self, key: str, image: Fingerprint) -> None:
        """Add ``image`` as ``key``."""
        self._keys.append(key)
        self._images.append(image)

    def matches(self, image: Fingerprint) -> dict[str, int]:
        """Images that show the same photograph, with the number of windows that agree."""
        if self._table.images < len(self._images):
            self._table = _WindowTable.of(self._images)
        found = self._table.agreements(image)
        return {self._keys[number]: count for number, count in found if count >= VOTES}

    def copies(self, image: Fingerprint) -> dict[str, tuple[int, int]]:
        """As `matches` for every flip and rotation: number of windows that agree, and the code.

        If several codes match one image, the best is returned.
        """
        found: dict[str, tuple[int, int]] = {}
        for code in range(SYMMETRIES):
            for key, count in self.matches(turned(image, code)).items():
                if count > found.get(key, (0, 0))[0]:
                    found[key] = count, code
        return found


@dataclass(frozen=True)
class _WindowTable:
    """The windows of all images, sorted by their hashes."""

    images: int
    hashes: NDArray[np.uint64]
    numbers: NDArray[np.int32]
    corners: NDArray[np.int32]

    @classmethod
    def of(cls, images: Sequence[Fingerprint]) -> _WindowTable:
        nothing = [np.empty(0, np.uint64)], [np.empty((0, 2), np.int32)]
        hashes = np.concatenate([image.hashes for image in images] or nothing[0])
        corners = np.concatenate([image.corners for image in images] or nothing[1])
        numbers = np.repeat(
            np.arange(len(images), dtype=np.int32), [len(image.hashes) for image in images]
        )
        order = np.argsort(hashes, kind="stable")
        return cls(len(images), hashes[order], numbers[order], corners[order])

    def agreements(self, image: Fingerprint) -> list[tuple[int, int]]:
        """Images (by number) that share windows with ``image``, with the number that agree."""
        first = np.searchsorted(self.hashes, image.hashes, "left")
        counts = np.searchsorted(self.hashes, image.hashes, "right") - first
        counts[counts > COMMON] = 0
        if not counts.any():
            return []
        ends = np.cumsum(counts)
        positions = np.arange(ends[-1]) + np.repeat(first - ends + counts, counts)
        numbers = self.numbers[positions]
        moves = self.corners[positions] - np.repeat(image.corners, counts, axis=0)
        shared = np.bincount(numbers, minlength=self.images)
        return [
            (int(number), _agreement(moves[numbers == number]))
            for number in np.flatnonzero(shared >= VOTES)
        ]


def _agreement(moves: NDArray[np.int32]) -> int:
    """Number of displacements (n x 2) within `SLACK` of the most frequent one."""
    different, counts = np.unique(moves, axis=0, return_counts=True)
    alike = np.abs(moves - different[counts.argmax()]).max(axis=1) <= SLACK
    return int(alike.sum())


def groups(images: Iterable[tuple[str, Fingerprint]]) -> list[list[str]]:
    """Partition images into those that show the same photograph, in order of first appearance.

    Mirrored and rotated copies are the same photograph.
    """
    known = list(images)
    index = FingerprintIndex()
    for key, image in known:
        index.add(key, image)
    group: dict[str, list[str]] = {}
    for key, image in known:
        joined = {id(group[other]): group[other] for other in index.copies(image) if other in group}
        members = [key]
        for old in joined.values():
            members = old + members
        for member in members:
            group[member] = members
    unique = {id(members): members for members in group.values()}
    return list(unique.values())
