"""The files in which results and targets come: folders, archives and MATLAB files of images."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from dgunet.data.readers.deep_images import is_jpeg, read_any_depth
from dgunet.data.readers.images import SUFFIXES
from dgunet.data.readers.matlab import SIDD_BYTES, read_variable, variables_of
from dgunet.evaluation.array_layout import as_image, as_stack, is_image_like
from dgunet.imaging.arrays import Array
from dgunet.imaging.npy_files import npz_shapes, read_npy, read_npz
from dgunet.system.errors import DgunetError, EvaluationError
from dgunet.system.hidden_files import is_hidden, left_out
from dgunet.system.reading import open_regular, shorten

ARRAYS = frozenset({".npy", ".npz", ".mat"})
"""Suffixes of files that hold arrays."""

_KINDS = "Give a folder of images, or a .npy, .npz or .mat file of them."


@dataclass(frozen=True)
class ResultImage:
    """One image of one side.

    Attributes:
        label: the file, and the variable or position in it, for messages.
        read: decodes it as (H, W, C) in its own type. The argument is the number of channels to
            which 8-bit files are converted, or None.
        lossy: whether it is stored as JPEG.
    """

    label: str
    read: Callable[[int | None], Array]
    lossy: bool = False


@dataclass(frozen=True)
class ResultSet:
    """The images of one side by name; ``ordered`` if the names are only positions in a stack."""

    images: dict[str, ResultImage]
    ordered: bool = False

    def labels(self) -> dict[str, str]:
        """Return how to show each name in a message."""
        return {name: image.label for name, image in self.images.items()}


def open_results(
    path: Path,
    *,
    targets: bool = False,
    count: int | None = None,
    variable: str | None = None,
    note: Callable[[str], None] = lambda line: None,
) -> ResultSet:
    """Find the images in a folder or an array file; they are decoded later.

    A folder is searched with its subfolders. Hidden files and files of other suffixes are left out,
    and so are array files beside images, except ``.npy`` results.

    Args:
        path: the folder or file.
        targets: whether these are the targets.
        count: the number of images of the other side, if known; it tells the axes of a stack apart.
        variable: the variable of ``.mat`` and ``.npz`` files with several.
        note: called with one line about files that are left out.

    Raises:
        EvaluationError: if there is no image, or two of the same name.
        DataError: for an unreadable file.
    """
    if path.is_dir():
        return ResultSet(_folder(path, targets, variable, note))
    if path.suffix.lower() in ARRAYS and path.is_file():
        return _array_file(path, count, variable)
    raise EvaluationError(f"{path} is not a folder.", _KINDS)


def is_stack_file(path: Path) -> bool:
    """Return whether ``path`` is an array file, whose axes may need the count of the other side."""
    return path.suffix.lower() in ARRAYS and path.is_file()


def _folder(
    folder: Path, targets: bool, variable: str | None, note: Callable[[str], None]
) -> dict[str, ResultImage]:
    files = sorted(path for path in folder.rglob("*") if not path.is_dir())
    hidden = {path for path in files if is_hidden(path, folder)}
    shown = [path for path in files if path not in hidden]
    suffixes = SUFFIXES if targets else SUFFIXES | {".npy"}
    taken = [p for p in shown if p.suffix.lower() in suffixes]
    if not taken:
        taken = [p for p in shown if p.suffix.lower() in ARRAYS]
    if len(taken) < len(files):
        note(left_out(folder, len(files) - len(taken), len(hidden)))
    found: dict[str, ResultImage] = {}
    for path in taken:
        if not path.is_file():
            raise EvaluationError(
                f"{path} is not a regular file.", "Replace it with an image file."
            )
        name = path.relative_to(folder).with_suffix("").as_posix()
        _check_utf8(path, name)
        if name in found:
            raise EvaluationError(
                f"{found[name].label} and {path} have the same name.",
                "Keep one image of each name.",
            )
        found[name] = _file(path, variable)
    if not found:
        raise EvaluationError(f"{folder} holds no image.", "Check the path.")
    return found


def _check_utf8(path: Path, name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise EvaluationError(
            f"the name {shorten(str(path))} is not UTF-8.", "Rename it."
        ) from error


def _file(path: Path, variable: str | None) -> ResultImage:
    if path.suffix.lower() in ARRAYS:
        return ResultImage(str(path), lambda channels: as_image(_single_array(path, variable)))
    return ResultImage(str(path), partial(read_any_depth, path), _is_jpeg(path))


def _is_jpeg(path: Path) -> bool:
    try:
        return is_jpeg(path)
    except DgunetError:  # reported with its name where it is read
        return False


def _single_array(path: Path, variable: str | None) -> Array:
    if path.suffix.lower() == ".npy":
        return read_npy(path, kind=EvaluationError)
    shapes = _shapes(path)
    name = _chosen(path, shapes, variable)
    if name is None:
        raise EvaluationError(
            f"{path} holds several images: {_listed(shapes)}.", "Choose one: --variable NAME."
        )
    return _read(path, name, shapes[name])


def _array_file(path: Path, count: int | None, variable: str | None) -> ResultSet:
    """The images of one array file: one for each variable, or the parts of a stack."""
    if path.suffix.lower() == ".npy":
        return _stack(path, "", read_npy(path, kind=EvaluationError), count)
    shapes = _shapes(path)
    name = _chosen(path, shapes, variable)
    if name is not None:
        return _stack(path, f"[{name}]", _read(path, name, shapes[name]), count)
    return ResultSet(
        {
            each: ResultImage(f"{path}[{each}]", _variable_reader(path, each, shape))
            for each, shape in shapes.items()
        }
    )


def _variable_reader(
    path: Path, name: str, shape: tuple[int, ...]
) -> Callable[[int | None], Array]:
    return lambda channels: as_image(_read(path, name, shape))


def _stack(path: Path, where: str, values: Array, count: int | None) -> ResultSet:
    try:
        images = as_stack(values, count)
    except EvaluationError as error:
        raise EvaluationError(f"{path}{where}: {error.message}", error.hint) from error
    found = {
        str(number): ResultImage(f"{path}{where}, image {number}", _holding(image))
        for number, image in enumerate(images, start=1)
    }
    return ResultSet(found, ordered=True)


def _holding(image: Array) -> Callable[[int | None], Array]:
    return lambda channels: image


def _chosen(path: Path, shapes: dict[str, tuple[int, ...]], variable: str | None) -> str | None:
    """The variable to read; None if the file has several and none is asked for."""
    if variable is not None:
        if variable not in shapes:
            raise EvaluationError(
                f"{path} has no image variable {shorten(variable)}.",
                f"It has: {_listed(shapes)}.",
            )
        return variable
    if not shapes:
        raise EvaluationError(f"{path} holds no image.", "Save numeric arrays of images.")
    return next(iter(shapes)) if len(shapes) == 1 else None


def _listed(shapes: dict[str, tuple[int, ...]]) -> str:
    text = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in shapes.items())
    return text[:300] or "none"


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The arrays of a ``.npz`` or ``.mat`` file that can be images."""
    if path.suffix.lower() == ".npz":
        found = npz_shapes(path, kind=EvaluationError)
        return {name: shape for name, shape in found.items() if is_image_like(shape)}
    with open_regular(path, kind=EvaluationError):
        pass
    try:
        variables = variables_of(path)
    except Exception as error:  # the parsers raise errors of any type
        raise _unreadable(path, error) from error
    return {
        name: tuple(shape)
        for name, (shape, kind) in variables.items()
        if is_image_like(tuple(shape)) and _is_number(kind)
    }


def _is_number(kind: str) -> bool:
    """Whether a type of MATLAB or NumPy is numeric; cells, structures and text are not."""
    try:
        return np.dtype(kind).kind in "fui"
    except TypeError:
        return False


def _read(path: Path, name: str, shape: tuple[int, ...]) -> Array:
    if path.suffix.lower() == ".npz":
        return read_npz(path, name, SIDD_BYTES.stop, kind=EvaluationError)
    if math.prod(shape) not in SIDD_BYTES:
        raise EvaluationError(
            f"{path}: {name} has {math.prod(shape):,} values.",
            f"At most {SIDD_BYTES.stop:,} are read: save it in parts.",
        )
    try:
        values = read_variable(path, name)
        if values.shape != shape:
            raise ValueError(f"{name} has the shape {values.shape}")
    except MemoryError as error:
        raise MemoryError(str(path)) from error
    except Exception as error:  # truncated data raises errors of zlib, struct or numpy
        raise _unreadable(path, error) from error
    return values


def _unreadable(path: Path, error: Exception) -> EvaluationError:
    reason = " ".join(str(error).split())[:300]
    return EvaluationError(f"{path} is not a readable MATLAB file ({reason}).", "Save it again.")
