"""Scores of restored images of any method against their targets, under the paper's protocols."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np

from dgunet.data.readers.images import SUFFIXES, read_grey, read_rgb
from dgunet.data.readers.matlab import read_variable, sidd_blocks
from dgunet.evaluation.metric_protocol import Protocol
from dgunet.evaluation.rows import Row, array_sha256
from dgunet.imaging.arrays import Array, require_finite
from dgunet.imaging.npy_files import read_npy
from dgunet.system.errors import EvaluationError
from dgunet.system.hidden_files import is_hidden, left_out
from dgunet.system.reading import shorten

Load = Callable[[], Array]
_AT_ONCE = 2
_BEYOND = 1.0
"""How far floats may exceed [0, 1]; a network's raw output exceeds it a little."""
_SIDD_TARGETS = "ValidationGtBlocksSrgb"


def score_results(
    restored: Path,
    target: Path,
    protocol: Protocol,
    *,
    partial: bool = False,
    note: Callable[[str], None] = lambda line: None,
) -> Iterator[Row]:
    """Score two folders, or two SIDD ``.mat`` files, pair by pair in natural order.

    Images pair by their name without suffix. Restored images are 8-bit files, or ``.npy`` files
    of floats in [0, 1], shape (H, W, C), which preserve what 8-bit files round away; they are
    rounded here where the protocol rounds. Targets are 8-bit files. Grey and palette files are
    expanded to RGB where the protocol scores RGB; alpha and 16-bit files are refused. Hidden files
    and folders, and files of other suffixes, are left out.

    Args:
        restored: folder of results, or a ``.mat`` file with ``Idenoised``.
        target: folder of targets, or ``ValidationGtBlocksSrgb.mat``.
        protocol: definition of the scores.
        partial: accept targets without a restored image.
        note: called with one line for each folder in which files are left out.

    Raises:
        EvaluationError: for folders that do not pair, or a pair that cannot be scored.
        DataError: for unreadable files.
    """
    if not protocol.scores_locally:
        raise EvaluationError(
            f"protocol {protocol.name} has no local score.", "Only its server has the targets."
        )
    blocks = restored.suffix == ".mat" and target.suffix == ".mat"
    pairs = (
        _block_pairs(restored, target)
        if blocks
        else _paired(
            _images(restored, {".npy"}, note), _images(target, set(), note), protocol, partial
        )
    )

    def score(pair: tuple[str, Load, Load]) -> Row:
        name, load_restored, load_target = pair
        try:
            return _row(name, load_restored(), load_target(), protocol)
        except EvaluationError as error:
            raise EvaluationError(f"{name}: {error.message}", error.hint) from error

    # A window of futures instead of map(), which would hold every pair at once.
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        pending = [pool.submit(score, pair) for pair in islice(pairs, 2 * _AT_ONCE)]
        try:
            while pending:
                yield pending.pop(0).result()
                pending.extend(pool.submit(score, pair) for pair in islice(pairs, 1))
        finally:
            for future in pending:
                future.cancel()


def _row(name: str, given: Array, target: Array, protocol: Protocol) -> Row:
    scored = _as_scored(given, protocol)
    score = protocol.score(scored, target)
    return Row(
        id=name,
        psnr=score.psnr,
        ssim=score.ssim,
        input_psnr=None,
        input_ssim=None,
        protocol=protocol.name,
        protocol_version=protocol.version,
        height=target.shape[0],
        width=target.shape[1],
        restored_sha256=array_sha256(scored),
    )


def _as_scored(given: Array, protocol: Protocol) -> Array:
    """The array that the protocol scores: 8-bit values unchanged, floats quantised."""
    if given.dtype == np.uint8:
        if protocol.name == "cs-y":
            return given.astype(np.float64)
        if protocol.name == "sidd-blocks":
            return np.asarray(given / np.float32(255), np.float32)
        return given
    require_finite("restored", given)
    # Values farther outside have another scale.
    if given.size and (given.min() < -_BEYOND or given.max() > 1.0 + _BEYOND):
        raise EvaluationError(
            f"the restored image spans [{given.min():g}, {given.max():g}]; floats are in [0, 1].",
            "Divide them by the largest value of their type, 255 for 8 bits.",
        )
    return protocol.quantise(given)


def _images(folder: Path, more: set[str], note: Callable[[str], None]) -> dict[str, Path]:
    """The images in ``folder`` by their path without suffix; hidden ones are left out."""
    if not folder.is_dir():
        raise EvaluationError(
            f"{folder} is not a folder.", "Give a folder of images (or two .mat files for SIDD)."
        )
    found: dict[str, Path] = {}
    files = sorted(path for path in folder.rglob("*") if not path.is_dir())
    hidden = {path for path in files if is_hidden(path, folder)}
    taken = [p for p in files if p not in hidden and p.suffix.lower() in SUFFIXES | more]
    if len(taken) < len(files):
        note(left_out(folder, len(files) - len(taken), len(hidden)))
    for path in taken:
        if not path.is_file():
            raise EvaluationError(
                f"{path} is not a regular file.", "Replace it with an image file."
            )
        name = path.relative_to(folder).with_suffix("").as_posix()
        _check_utf8(path, name)
        if name in found:
            raise EvaluationError(
                f"{found[name]} and {path} have the same name.", "Keep one image of each name."
            )
        found[name] = path
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


def _paired(
    restored: dict[str, Path], targets: dict[str, Path], protocol: Protocol, partial: bool
) -> Iterator[tuple[str, Load, Load]]:
    for here, there, kind in (
        (restored, targets, "restored images without a target"),
        ({} if partial else targets, restored, "targets without a restored image"),
    ):
        if unpaired := [name for name in here if name not in there]:
            raise EvaluationError(
                f"{kind}: {len(unpaired)} of {len(here)}; the first is {here[unpaired[0]]}.",
                "Pairs have the same name without suffix; --partial scores a part of the targets.",
            )
    read = read_grey if protocol.channels == 1 else read_rgb

    def loader(path: Path) -> Load:
        return lambda: _array(path) if path.suffix.lower() == ".npy" else read(path)

    names = sorted(restored, key=_natural)
    return ((name, loader(restored[name]), loader(targets[name])) for name in names)


def _block_pairs(restored: Path, target: Path) -> Iterator[tuple[str, Load, Load]]:
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

    def loader(block: Array) -> Load:
        return lambda: block

    return (
        (name, loader(block), image.load)
        for block, (name, image) in zip(given.reshape(-1, *shape[2:]), truths.items(), strict=True)
    )


def _array(path: Path) -> Array:
    return read_npy(path, kind=EvaluationError)


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key that puts 2 before 10; digits of other scripts count as letters."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(0, int(part), "") if "0" <= part[0] <= "9" else (1, 0, part) for part in parts]
