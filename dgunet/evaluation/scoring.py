"""Scores of restored images of any method against their targets, under the paper's protocols."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np

from dgunet.evaluation.metric_protocol import Protocol
from dgunet.evaluation.result_pairs import ImagePair, Inputs, PairLoader, find_pairs
from dgunet.evaluation.rows import Row, array_sha256
from dgunet.imaging.arrays import Array
from dgunet.system.errors import EvaluationError

Result = TypeVar("Result")
_AT_ONCE = 2


def score_results(
    restored: Path,
    target: Path,
    protocol: Protocol,
    *,
    partial: bool = False,
    inputs: Inputs | None = None,
    note: Callable[[str], None] = lambda line: None,
) -> Iterator[Row]:
    """Score two folders or array files pair by pair, in natural order of the targets.

    Images pair by name, see `name_pairing.pair_names`. Restored images are 8 or 16-bit files, or
    floats (TIFF, ``.npy``, ``.npz``, ``.mat``), which preserve what 8-bit files round away; floats
    are rounded here where the protocol rounds. Targets have 8-bit values. Grey and palette files
    are expanded to RGB where the protocol scores RGB; alpha is refused. Hidden files and folders,
    and files of other suffixes, are left out.

    Args:
        restored: folder of results, or an array file; for SIDD a ``.mat`` with ``Idenoised``.
        target: folder of targets, or an array file; for SIDD ``ValidationGtBlocksSrgb.mat``.
        protocol: definition of the scores.
        partial: accept targets without a restored image.
        inputs: range, pairs and variable as the user states them.
        note: called with one line for each thing that was assumed or left out.

    Raises:
        EvaluationError: for sides that do not pair, or a pair that cannot be scored.
        DataError: for unreadable files.
    """
    if not protocol.scores_locally:
        raise EvaluationError(
            f"protocol {protocol.name} has no local score.", "Only its server has the targets."
        )
    inputs = inputs or Inputs()
    pairs = find_pairs(restored, target, partial=partial, inputs=inputs, note=note)
    loader = PairLoader(inputs, note)

    def score(pair: ImagePair) -> Row:
        given, truth = loader.load(pair, protocol.channels)
        try:
            return _row(pair.name, given, truth, protocol)
        except EvaluationError as error:
            raise EvaluationError(f"{pair.name}: {error.message}", error.hint) from error

    yield from in_order(score, pairs)
    for line in loader.summary():
        note(line)


def in_order(work: Callable[[ImagePair], Result], pairs: Sequence[ImagePair]) -> Iterator[Result]:
    """Apply ``work`` to the pairs in a few threads; the results come in the order of the pairs."""
    waiting = iter(pairs)
    # A window of futures instead of map(), which would hold every pair at once.
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        pending = [pool.submit(work, pair) for pair in islice(waiting, 2 * _AT_ONCE)]
        try:
            while pending:
                yield pending.pop(0).result()
                pending.extend(pool.submit(work, pair) for pair in islice(waiting, 1))
        finally:
            for future in pending:
                future.cancel()


def _row(name: str, given: Array, target: Array, protocol: Protocol) -> Row:
    scored = as_scored(given, protocol)
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


def as_scored(given: Array, protocol: Protocol) -> Array:
    """Return the array that the protocol scores: 8-bit values unchanged, floats quantised.

    Args:
        given: uint8, or floats that are 0 for black and 1 for white; (H, W, C).
        protocol: the protocol.

    Raises:
        EvaluationError: for other types, NaN and infinite values.
    """
    if given.dtype == np.uint8:
        if protocol.name == "cs-y":
            return given.astype(np.float64)
        if protocol.name == "sidd-blocks":
            return np.asarray(given / np.float32(255), np.float32)
        return given
    return protocol.quantise(given)
