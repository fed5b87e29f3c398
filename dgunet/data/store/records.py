"""Records of a prepared store: columns of its files, the pairs in them, and their digests.

The layout is ``raw`` (the pixels of an image as one value) or ``compact`` (a list of compressed
tiles, see `dgunet.data.store.tiles`). Both hold the same pixels and have the same digest.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from dgunet.data.readers.images import Pixels
from dgunet.data.store.manifest import LayoutName
from dgunet.data.store.tiles import TiledPixels
from dgunet.system import files


def schema(layout: LayoutName) -> pa.Schema:
    """Columns of a store's files; pixels are one value, or a list of compressed tiles."""
    pixels = pa.large_binary() if layout == "raw" else pa.list_(pa.large_binary())
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("height", pa.int32(), nullable=False),
            pa.field("width", pa.int32(), nullable=False),
            pa.field("channels", pa.int32(), nullable=False),
            pa.field("dtype", pa.string(), nullable=False),
            pa.field("input", pixels),
            pa.field("target", pixels),
            pa.field("input_file", pa.string()),
            pa.field("target_file", pa.string()),
            pa.field("input_sha256", pa.string()),
            pa.field("target_sha256", pa.string()),
        ]
    )


@dataclass(frozen=True)
class SourceFile:
    """Origin of one image of a record.

    Attributes:
        file: path relative to the data root.
        sha256: SHA-256 of the file.
    """

    file: str
    sha256: str


@dataclass(frozen=True)
class LoadedPair:
    """A decoded pair that is about to be written to a store; see `PairRecord`."""

    id: str
    input: Pixels | None
    target: Pixels | None
    input_source: SourceFile | None = None
    target_source: SourceFile | None = None


@dataclass(frozen=True)
class PairRecord:
    """One pair of a store; the images are read-only, H x W x C, uint8 or float32 in [0, 1].

    Attributes:
        id: name of the pair, unique in its store.
        halves: degraded and clean image as stored: views of raw pixels, or tiles that are decoded
            when a crop or the whole image is read.
        input_source: origin of the degraded image.
        target_source: origin of the clean image.
    """

    id: str
    halves: tuple[Pixels | TiledPixels | None, Pixels | TiledPixels | None]
    input_source: SourceFile | None
    target_source: SourceFile | None

    @property
    def input(self) -> Pixels | None:
        """Degraded image; None for compressive sensing, where the network samples the target."""
        return _decoded(self.halves[0])

    @property
    def target(self) -> Pixels | None:
        """Clean image; None for DND, whose ground truth is only on the benchmark's server."""
        return _decoded(self.halves[1])

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of both images; nothing is decoded."""
        image = self.halves[0] if self.halves[0] is not None else self.halves[1]
        assert image is not None
        height, width, channels = image.shape
        return height, width, channels

    def crop(self, top: int, left: int, height: int, width: int) -> PairRecord:
        """Cut both images to a rectangle: views of raw pixels, or only the tiles it touches."""
        rows, columns = slice(top, top + height), slice(left, left + width)
        degraded, clean = (None if half is None else half[rows, columns] for half in self.halves)
        return PairRecord(self.id, (degraded, clean), self.input_source, self.target_source)


def digest_line(name: str, degraded: Pixels | None, clean: Pixels | None) -> str:
    """Contribution of one record to the store's digest: id, shapes and SHA-256 of its pixels."""
    return joined_line(name, pixel_digest(degraded), pixel_digest(clean))


def joined_line(name: str, degraded: str, clean: str) -> str:
    """`digest_line` from the `pixel_digest` of both images."""
    return f"{name} {degraded} {clean}\n"


def pixel_digest(image: Pixels | None) -> str:
    """Shape and type of an image, then the SHA-256 of its pixels (64 digits); "-" for None."""
    if image is None:
        return "-"
    return f"{image.shape}{image.dtype.name}:{files.sha256_bytes(image.tobytes())}"


def content_digest(lines: Iterable[str]) -> str:
    """Digest of a store from the `digest_line` of its records, in order."""
    return files.sha256_bytes("".join(lines).encode())


def _decoded(half: Pixels | TiledPixels | None) -> Pixels | None:
    return half.whole() if isinstance(half, TiledPixels) else half
