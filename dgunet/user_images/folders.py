"""The files to restore, and the path of each restored image."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from dgunet.system.errors import DataError
from dgunet.system.files import check_folder
from dgunet.system.hidden_files import is_hidden, left_out
from dgunet.user_images.encoding import WRITABLE

READABLE = frozenset(WRITABLE) | {".gif", ".ppm", ".pgm", ".pnm", ".jp2", ".jfif", ".tga"}


def find_images(
    inputs: Iterable[str], note: Callable[[str], None] | None = None, out: Path | None = None
) -> dict[Path, Path]:
    """Resolve files, folders and glob patterns to image files, in the given order.

    Args:
        inputs: paths and patterns. Folders are searched with their subfolders, not with linked
            ones; hidden files and files without an image suffix are left out, and the rest is
            sorted.
        note: called with one line for each given folder in which files were left out.
        out: folder of the results, which is left out where it is within a given folder.

    Returns:
        For each image its path below the given folder, or its name if it was given itself.

    Raises:
        DataError: for an input that names no image.
    """
    found: dict[Path, Path] = {}
    for text in inputs:
        path = Path(text)
        if path.is_dir():
            some = {image: image.relative_to(path) for image in _images_of(path, note, out)}
        elif path.exists() or path.is_symlink():
            some = {path: Path(path.name)}
        else:
            matches = glob.glob(text, recursive=True)  # noqa: PTH207 - may be absolute
            some = {Path(p): Path(Path(p).name) for p in sorted(matches) if Path(p).is_file()}
        if not some:
            raise DataError(
                f"{text} names no image.",
                f"Give files, folders or patterns; folders and their subfolders are searched for "
                f"{' '.join(sorted(READABLE))}.",
            )
        found = found | {image: below for image, below in some.items() if image not in found}
    return found


def _images_of(folder: Path, note: Callable[[str], None] | None, out: Path | None) -> list[Path]:
    results = None if out is None else out.resolve()
    files, linked = [], []
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            linked += [path] if path.is_symlink() and not is_hidden(path, folder) else []
        elif results is None or results not in path.resolve().parents:
            files.append(path)
    hidden = [path for path in files if is_hidden(path, folder)]
    found = [p for p in files if p.suffix.lower() in READABLE and not is_hidden(p, folder)]
    if note is not None and len(found) < len(files):
        note(left_out(folder, len(files) - len(found), len(hidden)))
    for path in linked:
        if note is not None:
            note(f"{path}: a link to a folder, not searched; to restore its images, give it too")
    return found


def output_paths(images: Mapping[Path, Path], out: Path, *, force: bool) -> list[Path]:
    """The path of each restored image in ``out``, as PNG if its format cannot be written.

    If another image already has this PNG name, the old suffix is kept as well: ``a.gif.png``.

    Args:
        images: the images, each with its path below ``out``; see `find_images`.
        out: folder of the results.
        force: whether existing files are overwritten.

    Raises:
        DataError: for two images of one name, an existing file without ``force``, an output that
            is its own input, or an ``out`` that is not a folder.
    """
    check_folder(out)
    planned: dict[Path, Path] = {}
    wanted = set(images.values())
    for image, below in images.items():
        name = below
        if image.suffix.lower() not in WRITABLE:
            taken = below.with_suffix(".png") in wanted
            name = below.with_name(f"{below.name}.png" if taken else f"{below.stem}.png")
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
