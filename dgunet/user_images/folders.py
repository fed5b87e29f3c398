"""The files to restore, and the path of each restored image."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable
from pathlib import Path

from dgunet.system.errors import DataError
from dgunet.system.files import check_folder
from dgunet.system.hidden_files import is_hidden, left_out
from dgunet.user_images.encoding import WRITABLE

READABLE = frozenset(WRITABLE) | {".gif", ".ppm", ".pgm", ".pnm", ".jp2", ".jfif", ".tga"}


def find_images(inputs: Iterable[str], note: Callable[[str], None] | None = None) -> list[Path]:
    """Resolve files, folders and glob patterns to image files, in the given order.

    Args:
        inputs: paths and patterns; in folders, hidden files and files without an image suffix are
            left out, and the rest is sorted.
        note: called with one line for each folder in which files were left out.

    Raises:
        DataError: for an input that names no image.
    """
    found: dict[Path, None] = {}
    for text in inputs:
        path = Path(text)
        if path.is_dir():
            some = _images_of(path, note)
        elif path.exists() or path.is_symlink():
            some = [path]
        else:
            matches = glob.glob(text, recursive=True)  # noqa: PTH207 - may be absolute
            some = sorted(Path(p) for p in matches if Path(p).is_file())
        if not some:
            raise DataError(
                f"{text} names no image.",
                f"Give files, folders or patterns; folders are searched for "
                f"{' '.join(sorted(READABLE))}.",
            )
        found |= dict.fromkeys(some)
    return list(found)


def _images_of(folder: Path, note: Callable[[str], None] | None) -> list[Path]:
    files = sorted(path for path in folder.iterdir() if not path.is_dir())
    hidden = [path for path in files if is_hidden(path, folder)]
    found = [p for p in files if p.suffix.lower() in READABLE and not is_hidden(p, folder)]
    if note is not None and len(found) < len(files):
        note(left_out(folder, len(files) - len(found), len(hidden)))
    return found


def output_paths(images: list[Path], out: Path, *, force: bool) -> list[Path]:
    """The path of each restored image: its name in ``out``, as PNG if its format cannot be written.

    If another image already has this PNG name, the old suffix is kept as well: ``a.gif.png``.

    Raises:
        DataError: for two images of one name, an existing file without ``force``, an output that
            is its own input, or an ``out`` that is not a folder.
    """
    check_folder(out)
    planned: dict[Path, Path] = {}
    given = set(images)
    for image in images:
        name = image.name
        if image.suffix.lower() not in WRITABLE:
            taken = image.with_suffix(".png") in given
            name = f"{image.name}.png" if taken else f"{image.stem}.png"
        target = out / name
        if target in planned:
            raise DataError(
                f"{image} and {planned[target]} would both become {target}.",
                "Restore them into different folders.",
            )
        if target.exists() and image.exists() and target.samefile(image):
            raise DataError(f"{target} is the input image itself.", "Choose another --out.")
        if target.exists() and not force:
            raise DataError(
                f"{target} already exists.", "Choose another --out, or overwrite with --force."
            )
        planned[target] = image
    return list(planned)
