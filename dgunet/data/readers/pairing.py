"""Pairs of images, matched by file name without decoding.

Names are in natural order: 2 comes before 10.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dgunet.data.readers.images import SUFFIXES, FileImage, LazyImage
from dgunet.system.errors import DataError
from dgunet.system.reading import shorten
from dgunet.system.safe_paths import check_name

INCOMPLETE = "The dataset is incomplete or mixed: import it again from the archive."


@dataclass(frozen=True)
class Pair:
    """A degraded and a clean image that will become one record.

    Attributes:
        id: name of the pair.
        input: degraded image; None if the dataset has none.
        target: clean image; None if the dataset has none.
        lacks: the half that is missing although the dataset should have it; "" if none is.
    """

    id: str
    input: LazyImage | None
    target: LazyImage | None
    lacks: str = ""


def natural(name: str) -> list[tuple[int, int, str]]:
    """Sorting key under which ``2.png`` comes before ``10.png``."""
    parts = re.split(r"([0-9]+)", name)  # digits of other scripts count as letters
    return [(0, 0, part) if at % 2 == 0 else (1, int(part), "") for at, part in enumerate(parts)]


def images_in(folder: Path) -> dict[str, Path]:
    """Image files of a folder by name without suffix, in natural order.

    Names are normalised to NFC, because the halves of a dataset may encode accents differently.

    Raises:
        DataError: if the folder is missing, two files share a name, or a name is not UTF-8 or has
            characters that are not allowed in the name of a record.
    """
    if not folder.is_dir():
        raise DataError(
            f"there is no folder {folder}.", "The dataset is incomplete: import it again."
        )
    found: dict[str, Path] = {}
    images = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    ]
    for path in sorted(images, key=lambda path: natural(path.name)):
        check_file_name(path)
        name = unicodedata.normalize("NFC", path.stem)
        if name in found:
            raise DataError(
                f"{path} and {found[name].name} are two files for one image.",
                "Keep the one of the original archive.",
            )
        found[name] = path
    return found


def folders_in(folder: Path) -> list[Path]:
    """Folders in ``folder``, sorted, without hidden ones.

    Raises:
        DataError: for the same names as `images_in`.
    """
    found = sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    )
    for path in found:
        check_file_name(path)
    return found


def check_file_name(path: Path) -> None:
    """Refuse a file or folder whose name is not allowed as the name of a record.

    Raises:
        DataError: naming the folder and the name.
    """

    def refuse(why: str) -> DataError:
        return DataError(f"{path.parent} holds {shorten(path.name)}, which {why}.", "Rename it.")

    check_name(path.name, refuse)


def match(
    inputs: dict[str, Path], targets: dict[str, Path], *, prefix: str = "", grey: bool = False
) -> list[Pair]:
    """Pair two listings by name; an image without counterpart gives a pair with ``lacks``."""

    def image(found: dict[str, Path], name: str) -> FileImage | None:
        return FileImage(found[name], grey) if name in found else None

    return [
        Pair(prefix + name, image(inputs, name), image(targets, name), _lacks(name, targets))
        for name in inputs
    ] + [
        Pair(prefix + name, None, image(targets, name), "degraded input")
        for name in targets
        if name not in inputs
    ]


def _lacks(name: str, targets: dict[str, Path]) -> str:
    return "" if name in targets else "clean target"


def unpaired_text(pair: Pair) -> str:
    """Description of the image without counterpart in a pair that lacks a half."""
    image = pair.input or pair.target
    assert image is not None
    return f"{image.path} has no {pair.lacks}"


def refuse_unpaired(pairs: Iterable[Pair]) -> None:
    """Refuse pairs that lack a half.

    Raises:
        DataError: naming the first image without counterpart, and the number of others.
    """
    unpaired = sorted((pair for pair in pairs if pair.lacks), key=lambda pair: natural(pair.id))
    if unpaired:
        more = f" (and {len(unpaired) - 1} more)" if len(unpaired) > 1 else ""
        raise DataError(f"{unpaired_text(unpaired[0])}{more}.", INCOMPLETE)


def check_shapes(pair: Pair) -> tuple[int, int, int]:
    """(H, W, C) of both images of a pair, from their headers.

    Raises:
        DataError: if they differ, naming both files and sizes.
    """
    images = [image for image in (pair.input, pair.target) if image is not None]
    shapes = [image.shape() for image in images]
    if len(set(shapes)) > 1:
        (a, b), (first, second) = shapes, images
        raise DataError(
            f"{first.path} is {a[1]}x{a[0]} and its partner {second.path} {b[1]}x{b[0]}.",
            "The two do not belong together: import the dataset again.",
        )
    return shapes[0]
