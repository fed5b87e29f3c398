"""A user's own pictures: any common format in, the same format out, upright and whole."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from dgunet.data.images import open_image
from dgunet.errors import DataError, EvaluationError
from dgunet.evaluation.arrays import Array
from dgunet.evaluation.memory import require_memory
from dgunet.evaluation.restoration import Network, restore_image
from dgunet.files import atomic_path
from dgunet.reading import shorten

_WRITABLE = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".avif"})
READABLE = _WRITABLE | {".gif", ".ppm", ".pgm", ".pnm", ".jp2", ".jfif", ".tga"}
_ENCODING: dict[str, dict[str, Any]] = {
    ".jpg": {"quality": 95, "subsampling": 0},
    ".jpeg": {"quality": 95, "subsampling": 0},
    ".webp": {"lossless": True},
    ".avif": {"quality": 90, "subsampling": "4:4:4"},
}
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "AVIF", "GIF", "PPM", "JPEG2000", "TGA")
"""By content. Not all that Pillow reads: some formats start programs."""
_UNREADABLE, _MEND = "no readable image", "Check the path, or save it again."
_ORIENTATION = 0x0112
_KEPT_COLOURS = ("RGB", "RGBA", "P", "PA", "L", "LA")
_BGR = {3: [2, 1, 0], 4: [2, 1, 0, 3]}
_LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Picture:
    """A decoded picture, upright.

    Attributes:
        pixels: uint8 or uint16, shape (H, W, 1) or (H, W, 3).
        alpha: opacity, shape (H, W), same type, or None. It is kept and not restored.
        exif: metadata without the orientation, which the pixels already have.
        icc: colour profile, or None.
    """

    pixels: Array
    alpha: Array | None = None
    exif: bytes = b""
    icc: bytes | None = None


def read_picture(path: Path) -> Picture:
    """Decode ``path`` with its orientation applied; 16-bit PNG and TIFF stay 16-bit.

    A palette becomes RGB; CMYK becomes RGB, without its profile.

    Raises:
        DataError: for a missing or damaged file, a pipe or device, another format, more pixels than
            `dgunet.data.limits` allow, several frames, or floating-point pixels.
    """
    try:
        with open_image(path, _FORMATS, unreadable=_UNREADABLE, mend=_MEND) as image:
            deep = _is_deep(image)  # before the pixels are loaded, which forgets it
            exif = image.getexif()
            orientation = int(exif.pop(_ORIENTATION, 1))
            icc = image.info.get("icc_profile") if image.mode in _KEPT_COLOURS or deep else None
            facts = Picture(np.empty(0), None, exif.tobytes(), icc)
            decoded = _deep(path) if deep else _shallow(image)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, cv2.error) as error:
        raise DataError(f"{path} is {_UNREADABLE} ({error}).", _MEND) from error
    upright = np.ascontiguousarray(_turned(decoded, orientation))
    if upright.shape[2] in (2, 4):
        return replace(facts, pixels=upright[..., :-1], alpha=upright[..., -1])
    return replace(facts, pixels=upright)


def write_picture(path: Path, picture: Picture) -> None:
    """Encode to ``path`` by its suffix, under a temporary name first.

    JPEG has quality 95 without chroma subsampling; WebP is lossless. Metadata and profile are
    written where the format has them; a 16-bit TIFF loses them.
    """
    parts = (
        [picture.pixels] if picture.alpha is None else [picture.pixels, picture.alpha[..., None]]
    )
    whole = np.concatenate(parts, axis=2)
    with atomic_path(path) as temporary:
        if whole.dtype == np.uint16:
            temporary.write_bytes(_encoded_deep(path, whole, picture))
            return
        options = _ENCODING.get(path.suffix.lower(), {})
        Image.fromarray(whole[..., 0] if whole.shape[2] == 1 else whole).save(
            temporary, exif=picture.exif, icc_profile=picture.icc, **options
        )


def restore_picture(
    network: Network,
    picture: Picture,
    name: str,
    *,
    channels: int = 3,
    self_ensemble: bool = False,
    tile: int | None = None,
) -> Picture:
    """Restore a picture of any size with its depth, alpha and metadata kept.

    Args:
        network: maps (1, ``channels``, H, W) to the stage outputs, the result last.
        picture: as `read_picture` gives it.
        name: for messages.
        channels: of the network. A grey picture is shown to an RGB network as three equal
            channels and comes back as their mean; a colour picture is shown to a grey network
            as its luma and comes back grey.
        self_ensemble: average over the eight flips and rotations, at eight times the cost.
        tile: side of tiles for a picture that does not fit; seams and statistics differ.

    Raises:
        EvaluationError: when the picture does not fit into memory, or the network fails.
    """
    top = float(np.iinfo(picture.pixels.dtype).max)
    given = picture.pixels
    if channels == 3 and given.shape[2] == 1:
        shown = np.repeat(given, 3, axis=2)
    elif channels == 1 and given.shape[2] == 3:
        shown = (given @ _LUMA / top).astype(np.float32)[..., None]
    else:
        shown = given
    try:
        if tile is None:
            require_memory(network, shown.shape)
        restored = restore_image(network, shown, self_ensemble=self_ensemble, tile=tile)
    except EvaluationError as error:
        raise EvaluationError(f"{name}: {error.message}", error.mend) from error
    if channels == 3 and given.shape[2] == 1:
        restored = restored.mean(axis=2, keepdims=True)
    whole = np.rint(np.clip(restored, 0.0, 1.0).astype(np.float64) * top)
    # The profile of a colour picture says nothing about grey.
    icc = picture.icc if whole.shape == given.shape else None
    return replace(picture, pixels=whole.astype(given.dtype), icc=icc)


def find_pictures(inputs: Iterable[str]) -> list[Path]:
    """Files, the pictures of folders, and glob patterns, in the order given, sorted within.

    Raises:
        DataError: for an input that names no picture.
    """
    found: dict[Path, None] = {}
    for text in inputs:
        path = Path(text)
        if path.is_dir():
            some = sorted(p for p in path.iterdir() if p.suffix.lower() in READABLE)
        elif path.exists():
            some = [path]
        else:
            matches = glob.glob(text, recursive=True)  # noqa: PTH207 - may be absolute
            some = sorted(Path(p) for p in matches if Path(p).is_file())
        for one in some:
            _check_utf8(one)
        if not some:
            raise DataError(
                f"{text} names no picture.",
                f"Give files, folders or patterns; folders are searched for "
                f"{' '.join(sorted(READABLE))}.",
            )
        found |= dict.fromkeys(some)
    return list(found)


def _check_utf8(path: Path) -> None:
    try:
        path.name.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"the name {shorten(path.name)} is not UTF-8.", "Rename it.") from error


def output_paths(pictures: list[Path], out: Path, *, force: bool) -> list[Path]:
    """Where each restored picture goes: its name in ``out``, PNG where its format cannot be kept.

    Raises:
        DataError: for two pictures of one name, an existing file without ``force``, or an
            output that is its own input.
    """
    planned: dict[Path, Path] = {}
    for picture in pictures:
        keep = picture.suffix.lower() in _WRITABLE
        target = out / (picture.name if keep else f"{picture.stem}.png")
        if target in planned:
            raise DataError(
                f"{picture} and {planned[target]} would both become {target}.",
                "Restore them into different folders.",
            )
        if target.exists() and target.samefile(picture):
            raise DataError(f"{target} is the picture itself.", "Choose another --out.")
        if target.exists() and not force:
            raise DataError(f"{target} exists.", "Choose another --out, or overwrite with --force.")
        planned[target] = picture
    return list(planned)


def _is_deep(image: Image.Image) -> bool:
    # Pillow narrows 16-bit RGB silently; the raw mode of its decoder still tells.
    raw = " ".join(str(part) for tile in getattr(image, "tile", []) for part in tile[3:])
    if image.mode == "F" or (image.mode == "I" and "16" not in raw):
        raise ValueError("its pixels are 32-bit; 8 and 16 bits are supported")
    return "16" in raw or image.mode.startswith("I;16")


def _deep(path: Path) -> Array:
    # OpenCV takes the depth as it is; the orientation is applied afterwards.
    raw = np.frombuffer(path.read_bytes(), np.uint8)
    decoded = cv2.imdecode(raw, cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    if decoded is None or decoded.dtype != np.uint16:
        raise ValueError("its 16-bit pixels cannot be decoded")
    deep = np.atleast_3d(np.asarray(decoded))
    return deep[..., _BGR.get(deep.shape[2], [0])]


def _encoded_deep(path: Path, whole: Array, picture: Picture) -> bytes:
    """A 16-bit PNG or TIFF; PNG keeps the metadata and the profile."""
    pixels = np.ascontiguousarray(whole[..., _BGR.get(whole.shape[2], [0])])
    kinds = {
        cv2.IMAGE_METADATA_EXIF: picture.exif.removeprefix(b"Exif\x00\x00"),
        cv2.IMAGE_METADATA_ICCP: picture.icc or b"",
    }
    kept = {int(kind): np.frombuffer(block, np.uint8) for kind, block in kinds.items() if block}
    suffix, done = path.suffix.lower(), False
    if suffix == ".png" and kept:
        done, encoded = cv2.imencodeWithMetadata(suffix, pixels, list(kept), list(kept.values()))
    if not done:  # no metadata, or some that the format cannot hold
        done, encoded = cv2.imencode(suffix, pixels)
    if not done:
        raise DataError(f"{path} cannot be written.", "Choose PNG or TIFF for 16 bits.")
    return bytes(encoded.tobytes())


def _shallow(image: Image.Image) -> Array:
    see_through = "A" in image.getbands() or "transparency" in image.info
    if image.mode in ("1", "L", "LA"):
        mode = "LA" if see_through else "L"
    else:
        mode = "RGBA" if see_through else "RGB"
    return np.atleast_3d(np.asarray(image.convert(mode)))


def _turned(pixels: Array, orientation: int) -> Array:
    """EXIF orientation 1 to 8 applied to (H, W, C) pixels."""
    turned = np.swapaxes(pixels, 0, 1) if orientation >= 5 else pixels
    rows, columns = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}.get(
        orientation, (1, 1)
    )
    return turned[::rows, ::columns]
