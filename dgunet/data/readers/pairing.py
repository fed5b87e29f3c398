"""Pictures that belong together, matched by name and not decoded yet.

Names are sorted so that 2 comes before 10.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dgunet.data.readers.images import SUFFIXES, FilePicture, Picture
from dgunet.system.errors import DataError
from dgunet.system.reading import shorten
from dgunet.system.safe_paths import check_name

INCOMPLETE = "The set is incomplete or mixed: bring it again from the archive."


@dataclass(frozen=True)
class Pair:
    """One record to be: degraded and clean picture; either may be absent by the set's nature.

    ``lacks`` names the half that is absent though the set should have it.
    """

    id: str
    input: Picture | None
    target: Picture | None
    lacks: str = ""


def natural(name: str) -> list[tuple[int, int, str]]:
    """Sorting key under which ``2.png`` comes before ``10.png``."""
    parts = re.split(r"([0-9]+)", name)  # other scripts' digits are letters here
    return [(0, 0, part) if at % 2 == 0 else (1, int(part), "") for at, part in enumerate(parts)]


def pictures_in(folder: Path) -> dict[str, Path]:
    """The image files of one folder by name without suffix, in natural order.

    Names are composed (NFC): an accent may be a character of its own in one half of a set.

    Raises:
        DataError: if the folder is missing, two files share a name, or a name is not UTF-8 or holds
            characters that no record's name may have.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}.", "The set is incomplete: bring it again.")
    found: dict[str, Path] = {}
    pictures = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    ]
    for path in sorted(pictures, key=lambda path: natural(path.name)):
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
    """The folders in ``folder``, sorted; hidden ones are left out.

    Raises:
        DataError: for a name as in `pictures_in`.
    """
    found = sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    )
    for path in found:
        check_file_name(path)
    return found


def check_file_name(path: Path) -> None:
    """Refuse a file or folder whose name cannot become a record's.

    Raises:
        DataError: names the folder and the name.
    """

    def refuse(why: str) -> DataError:
        return DataError(f"{path.parent} holds {shorten(path.name)}, which {why}.", "Rename it.")

    check_name(path.name, refuse)


def match(
    inputs: dict[str, Path], targets: dict[str, Path], *, prefix: str = "", grey: bool = False
) -> list[Pair]:
    """Pair two listings by name; a picture without its partner makes a pair that lacks a half."""

    def picture(found: dict[str, Path], name: str) -> FilePicture | None:
        return FilePicture(found[name], grey) if name in found else None

    return [
        Pair(prefix + name, picture(inputs, name), picture(targets, name), _lacks(name, targets))
        for name in inputs
    ] + [
        Pair(prefix + name, None, picture(targets, name), "degraded input")
        for name in targets
        if name not in inputs
    ]


def _lacks(name: str, targets: dict[str, Path]) -> str:
    return "" if name in targets else "clean target"


def lonely_text(pair: Pair) -> str:
    """Which picture has no partner; of a pair that lacks a half."""
    picture = pair.input or pair.target
    assert picture is not None
    return f"{picture.path} has no {pair.lacks}"


def refuse_lonely(pairs: Iterable[Pair]) -> None:
    """Refuse pairs that lack a half.

    Raises:
        DataError: naming the first picture without partner, and how many more there are.
    """
    lonely = sorted((pair for pair in pairs if pair.lacks), key=lambda pair: natural(pair.id))
    if lonely:
        more = f" (and {len(lonely) - 1} more)" if len(lonely) > 1 else ""
        raise DataError(f"{lonely_text(lonely[0])}{more}.", INCOMPLETE)


def check_shapes(pair: Pair) -> tuple[int, int, int]:
    """The (H, W, C) both pictures of a pair share, from their headers.

    Raises:
        DataError: if they differ, naming both files and sizes.
    """
    pictures = [picture for picture in (pair.input, pair.target) if picture is not None]
    shapes = [picture.shape() for picture in pictures]
    if len(set(shapes)) > 1:
        (a, b), (first, second) = shapes, pictures
        raise DataError(
            f"{first.path} is {a[1]}x{a[0]} and its partner {second.path} {b[1]}x{b[0]}.",
            "The two do not belong together: bring the set again.",
        )
    return shapes[0]
