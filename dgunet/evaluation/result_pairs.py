"""Pairs of results and targets, found in whatever files they come in, and their arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dgunet.data.readers.matlab import read_variable, sidd_blocks, variables_of
from dgunet.evaluation.array_layout import as_image
from dgunet.evaluation.name_pairing import SAME, Pairing, natural, pair_names, read_pairs_file
from dgunet.evaluation.result_files import ResultImage, ResultSet, is_stack_file, open_results
from dgunet.evaluation.value_range import ValueRange
from dgunet.imaging.arrays import Array
from dgunet.imaging.colour import opencv_luma
from dgunet.system.errors import EvaluationError

_SIDD_TARGETS = "ValidationGtBlocksSrgb"
_BRIGHT, _BLACK = 8, 1.0 / 255.0
Note = Callable[[str], None]


@dataclass(frozen=True)
class Inputs:
    """What the user states about the files.

    Attributes:
        value_range: range of floats and deep integers, a key of `value_range.RANGES`, or None.
        pairs: CSV file with the pairs of names, or None.
        variable: variable of ``.mat`` and ``.npz`` files, or None.
    """

    value_range: str | None = None
    pairs: Path | None = None
    variable: str | None = None


@dataclass(frozen=True)
class ImagePair:
    """A result and its target; ``name`` is the target's."""

    name: str
    restored: ResultImage
    target: ResultImage


class PairLoader:
    """Decodes pairs to arrays on the protocols' scale.

    Args:
        inputs: what the user states about the files.
        note: called with the range of each type that is not uint8.
    """

    def __init__(self, inputs: Inputs, note: Note = lambda line: None) -> None:
        self._restored = ValueRange("restored", inputs.value_range, note)
        self._target = ValueRange("target", inputs.value_range, note)

    def load(self, pair: ImagePair, channels: int | None) -> tuple[Array, Array]:
        """Decode one pair.

        Args:
            pair: the pair.
            channels: 3 for RGB, 1 for full-range Y, None for the channels that the files have.

        Returns:
            The restored image, uint8 or floats (0 black, 1 white; overshoot kept), and the target,
            uint8; both (H, W, C).

        Raises:
            EvaluationError: naming the pair, for an array that is not such an image.
            DataError: for an unreadable file.
        """
        try:
            restored = _fitted(self._restored.unit(pair.restored.read(channels)), channels)
            target = _fitted(self._target.eight_bit(pair.target.read(channels)), channels)
            _refuse_nearly_black(restored, target)
        except EvaluationError as error:
            raise EvaluationError(f"{pair.name}: {error.message}", error.hint) from error
        return restored, target

    def summary(self) -> list[str]:
        """Return the lines about the values that were read, after the last pair."""
        return [line for line in (self._restored.summary(), self._target.summary()) if line]


def _fitted(image: Array, channels: int | None) -> Array:
    """Expand grey to RGB, and reduce 8-bit RGB to Y, where ``channels`` asks for it."""
    if channels == 3 and image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    if channels == 1 and image.shape[2] == 3 and image.dtype == np.uint8:
        return opencv_luma(np.ascontiguousarray(image))
    return image


def _refuse_nearly_black(restored: Array, target: Array) -> None:
    """Refuse floats that were divided by 255 once too often."""
    if restored.dtype == np.uint8 or not restored.size or target.max(initial=0) < _BRIGHT:
        return
    top = float(restored.max())
    if 0.0 < top <= _BLACK:
        raise EvaluationError(
            f"the restored image is nearly black (its largest value is {top:g} of white) and its "
            "target is not.",
            "State the range of the stored values with --range: 0..1, 0..255 or -1..1.",
        )


def find_pairs(
    restored: Path,
    target: Path,
    *,
    partial: bool = False,
    inputs: Inputs | None = None,
    note: Note = lambda line: None,
) -> list[ImagePair]:
    """Pair the images of two sides, in natural order of the targets' names.

    Args:
        restored: folder, ``.npy``, ``.npz`` or ``.mat`` file of the results.
        target: the same of the targets. Two ``.mat`` files in which the target has
            ``ValidationGtBlocksSrgb`` are SIDD's blocks.
        partial: accept targets without a result.
        inputs: what the user states about the files.
        note: called with lines about ignored files, names that differ, and JPEG results.

    Raises:
        EvaluationError: if the sides do not pair.
        DataError: for unreadable files.
    """
    inputs = inputs or Inputs()
    if _is_sidd(restored, target):
        return _block_pairs(restored, target)
    ours, theirs = _both_sides(restored, target, inputs, note)
    if inputs.pairs is not None:
        pairing = read_pairs_file(inputs.pairs, list(ours.images), list(theirs.images))
        note(f"{len(pairing.pairs)} pairs of {inputs.pairs}; other images are left out")
    elif ours.ordered != theirs.ordered:
        pairing = _by_position(ours, theirs)
    else:
        pairing = pair_names(ours.labels(), theirs.labels(), partial=partial)
    if pairing.rule != SAME:
        note(pairing.describe())
    jpegs = sum(ours.images[name].lossy for name, _ in pairing.pairs)
    if jpegs:
        note(f"{jpegs} of {len(pairing.pairs)} results are JPEG: its compression changes the score")
    return [ImagePair(b, ours.images[a], theirs.images[b]) for a, b in pairing.pairs]


def _both_sides(
    restored: Path, target: Path, inputs: Inputs, note: Note
) -> tuple[ResultSet, ResultSet]:
    """Open both sides; a stack's axes are told apart by the number of images of the other side."""
    if is_stack_file(restored) and not is_stack_file(target):
        theirs = open_results(target, targets=True, note=note)
        count = len(theirs.images) if inputs.pairs is None else None
        ours = open_results(restored, count=count, variable=inputs.variable, note=note)
        return ours, theirs
    ours = open_results(restored, variable=inputs.variable, note=note)
    count = len(ours.images) if is_stack_file(target) and not is_stack_file(restored) else None
    theirs = open_results(target, targets=True, count=count, variable=inputs.variable, note=note)
    return ours, theirs


def _by_position(ours: ResultSet, theirs: ResultSet) -> Pairing:
    """Pair the positions of a stack with names, if their order is beyond doubt."""
    stack, named = (ours, theirs) if ours.ordered else (theirs, ours)
    names = sorted(named.images, key=natural)
    if len(names) != len(stack.images):
        raise EvaluationError(
            f"one side has {len(stack.images)} images in a stack, the other {len(names)} by name.",
            "Give as many, or name the pairs: --pairs FILE.",
        )
    if names != sorted(named.images):
        raise EvaluationError(
            "the order of a stack is not known: the other side's names are sorted differently as "
            f"text ({', '.join(sorted(named.images)[:3])}) and by number ({', '.join(names[:3])}).",
            "Name the pairs by position (1, 2, ...) in a CSV file: --pairs FILE.",
        )
    rows = list(zip(stack.images, names, strict=True))
    pairs = rows if ours.ordered else [(name, position) for position, name in rows]
    return Pairing("position in the stack", tuple(pairs))


def _is_sidd(restored: Path, target: Path) -> bool:
    if restored.suffix != ".mat" or target.suffix != ".mat":
        return False
    try:
        return _SIDD_TARGETS in variables_of(target)
    except Exception:  # reported by the reader of the blocks
        return True


def _block_pairs(restored: Path, target: Path) -> list[ImagePair]:
    """The SIDD validation blocks, scene by scene."""
    truths = sidd_blocks(target, _SIDD_TARGETS)
    try:
        given = read_variable(restored, "Idenoised")
    except KeyError as error:
        raise EvaluationError(
            f"{restored} has no variable Idenoised.",
            "Save the blocks under this name, shape (40, 32, 256, 256, 3).",
        ) from error
    except Exception as error:  # scipy's parser raises errors of any type
        raise EvaluationError(
            f"{restored} is not a readable MATLAB file ({error}).", "Save it again."
        ) from error
    last, image = list(truths.items())[-1]
    shape = (*map(int, last.split("_")), *image.shape())
    if given.shape != shape:
        # Blocks in another order would be paired wrongly.
        raise EvaluationError(
            f"{restored} holds Idenoised of shape {given.shape}; {target} needs {shape}.",
            "Both must hold (scenes, blocks, height, width, 3) in the benchmark's order.",
        )

    def holding(block: Array) -> Callable[[int | None], Array]:
        return lambda channels: as_image(block)

    def loading(name: str) -> Callable[[int | None], Array]:
        return lambda channels: truths[name].load()

    return [
        ImagePair(
            name,
            ResultImage(f"{restored}, block {name}", holding(block)),
            ResultImage(f"{target}, block {name}", loading(name)),
        )
        for block, name in zip(given.reshape(-1, *shape[2:]), truths, strict=True)
    ]
