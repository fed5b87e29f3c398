"""Finding the same photograph in two sets, even where one holds only a crop of it.

An image is described by 64-bit hashes of small windows around its corners. The same content gives
the same hashes wherever the crop's border lies, so two images that show the same scene at the same
scale share many hashes, all displaced alike. Hashing every window once makes a search linear in the
number of images.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dgunet.data.images import Pixels

SPACING = 11
"""A corner is the strongest point of the square of this side around it, in pixels."""

FAINTEST = 1e-6
"""Smallest eigenvalue of the structure tensor that still makes a corner."""

WINDOW = 32
"""Side of the window around a corner in pixels."""

CELLS = 8
"""The window is averaged to CELLS x CELLS values; each gives one bit: above their mean or not."""

VOTES = 6
"""So many windows displaced alike (within `SLACK`) make two images show the same photograph."""

SLACK = 2

COMMON = 24
"""A hash in more images than this (a plain edge, a flat sky) says nothing and is left out."""


@dataclass(frozen=True)
class Fingerprint:
    """Corners of one image (n x 2: row, column) and the hashes of their windows (n)."""

    corners: NDArray[np.int64]
    hashes: NDArray[np.uint64]


def fingerprint(image: Pixels) -> Fingerprint:
    """Describe an image H x W x C, uint8; images smaller than a window have no corner."""
    grey = image[..., 0] if image.shape[2] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    half = WINDOW // 2
    if min(height, width) <= WINDOW:
        return Fingerprint(np.empty((0, 2), np.int64), np.empty(0, np.uint64))
    smooth = cv2.GaussianBlur(grey, (0, 0), 1.5)
    # Every choice is local, so that a crop keeps the corners of the whole.
    response = cv2.cornerMinEigenVal(smooth, 5)
    peaks = response == cv2.dilate(response, np.ones((SPACING, SPACING), np.uint8))
    peaks &= response > FAINTEST
    peaks[:half] = peaks[height - half :] = False
    peaks[:, :half] = peaks[:, width - half :] = False
    corners = np.argwhere(peaks)
    windows = np.lib.stride_tricks.sliding_window_view(smooth, (WINDOW, WINDOW))
    cut = windows[corners[:, 0] - half, corners[:, 1] - half].astype(np.float32)
    step = WINDOW // CELLS
    cells = cut.reshape(-1, CELLS, step, CELLS, step).mean(axis=(2, 4)).reshape(-1, CELLS * CELLS)
    bits = cells > cells.mean(axis=1, keepdims=True)
    hashes = np.packbits(bits, axis=1).view(np.uint64)[:, 0]
    # A window of one level, or of one plain edge, is everywhere.
    telling = cells.std(axis=1) > 4.0
    return Fingerprint(corners[telling], hashes[telling])


class Index:
    """Fingerprints by their hashes: `add` images, then ask which of them another one `matches`."""

    def __init__(self) -> None:
        self._places: dict[int, list[tuple[str, int, int]]] = defaultdict(list)

    def add(self, key: str, image: Fingerprint) -> None:
        """Remember ``image`` as ``key``."""
        for (row, column), value in zip(image.corners.tolist(), image.hashes.tolist(), strict=True):
            self._places[value].append((key, row, column))

    def matches(self, image: Fingerprint) -> dict[str, int]:
        """The images that show the same photograph, with the number of windows that agree."""
        votes: dict[str, Counter[tuple[int, int]]] = defaultdict(Counter)
        for (row, column), value in zip(image.corners.tolist(), image.hashes.tolist(), strict=True):
            places = self._places.get(value, ())
            if len(places) > COMMON:
                continue
            for key, r, c in places:
                votes[key][r - row, c - column] += 1
        agreed = {key: _agreement(counts) for key, counts in votes.items()}
        return {key: count for key, count in agreed.items() if count >= VOTES}


def _agreement(counts: Counter[tuple[int, int]]) -> int:
    (row, column), _ = counts.most_common(1)[0]
    return sum(
        count
        for (r, c), count in counts.items()
        if abs(r - row) <= SLACK and abs(c - column) <= SLACK
    )


def groups(images: Iterable[tuple[str, Fingerprint]]) -> list[list[str]]:
    """Partition images into those that show the same photograph, in order of first appearance."""
    index = Index()
    group: dict[str, list[str]] = {}
    for key, image in images:
        joined = {id(group[other]): group[other] for other in index.matches(image)}
        members = [key]
        for old in joined.values():
            members = old + members
        for member in members:
            group[member] = members
        index.add(key, image)
    unique = {id(members): members for members in group.values()}
    return list(unique.values())
