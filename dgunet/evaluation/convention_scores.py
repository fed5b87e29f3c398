"""PSNR and SSIM of one pair of images under many conventions, without repeating common work."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dgunet.evaluation.conventions import Colour, Convention, Output
from dgunet.evaluation.protocols import protocol, round_to_uint8
from dgunet.evaluation.scoring import as_scored
from dgunet.evaluation.ssim import SsimDefinition, ssim
from dgunet.imaging.arrays import Array
from dgunet.imaging.colour import STUDIO_SWING, matlab_luma, opencv_luma
from dgunet.imaging.opencv import cv2, leave_out_ipp
from dgunet.imaging.psnr import squared_error
from dgunet.system.errors import EvaluationError

PEAK = 255.0
_FULL_SWING = np.array([[0.299, 0.587, 0.114]])
_SHRUNK_SIDE = 256
Side = Literal["restored", "target"]


@dataclass(frozen=True)
class Measured:
    """One image under one convention.

    Attributes:
        psnr: in dB; ``inf`` for identical images, unless the convention defines another value.
        error: sum of squared differences on the scale 0..255.
        count: number of values in ``error``.
        ssim: mean structural similarity.
    """

    psnr: float
    error: float
    count: int
    ssim: float


def decibels(error: float, count: int) -> float:
    """``10 log10(255^2 count / error)``; ``inf`` without error."""
    return math.inf if error == 0.0 else 10.0 * math.log10(PEAK * PEAK * count / error)


class PairScores:
    """Scores one pair; planes, errors and similarities that conventions share are computed once.

    Args:
        restored: (H, W, C), uint8, or floats that are 0 for black and 1 for white.
        target: uint8 (H, W, C) of the same size. One side may be grey and the other RGB.

    Raises:
        EvaluationError: if the sizes differ, or the image is empty.
    """

    def __init__(self, restored: Array, target: Array) -> None:
        if restored.shape[:2] != target.shape[:2] or not target.size:
            raise EvaluationError(
                f"the restored image has shape {restored.shape}; its target has {target.shape}.",
                "Both must have the same size; nothing is cropped or resized here.",
            )
        self._given = {"restored": restored, "target": target}
        self._planes: dict[tuple[object, ...], Array] = {}
        self._errors: dict[tuple[object, ...], tuple[list[float], int]] = {}
        self._similarities: dict[tuple[object, ...], float] = {}

    def measure(self, conventions: Iterable[Convention]) -> dict[str, Measured | str]:
        """Score the pair; a convention that does not apply has the reason instead of a score."""
        leave_out_ipp()
        found: dict[str, Measured | str] = {}
        for each in conventions:
            try:
                found[each.name] = self._by_protocol(each) if each.protocol else self._score(each)
            except EvaluationError as error:
                found[each.name] = error.message.rstrip(".")
        return found

    def _by_protocol(self, convention: Convention) -> Measured:
        rules = protocol(convention.protocol)
        restored, target = self._sides(rules.channels)
        scored = as_scored(restored, rules)
        score = rules.score(scored, target)
        return Measured(score.psnr, 0.0, scored.size, score.ssim)

    def _sides(self, channels: int) -> tuple[Array, Array]:
        """Both sides with the channels of a protocol, as `dgunet score --protocol` reads them."""
        restored, target = self._given["restored"], self._given["target"]
        if channels == 3:
            self._refuse_grey()
            return self._rgb("restored", "8-bit", raw=True), self._rgb("target", "8-bit")
        if restored.shape[2] == 3:
            if restored.dtype != np.uint8:
                raise EvaluationError("the results are colour floats; it scores restored Y")
            restored = opencv_luma(np.ascontiguousarray(restored))
        return restored, opencv_luma(np.ascontiguousarray(target))

    def _score(self, convention: Convention) -> Measured:
        if convention.twin and self._given["restored"].dtype == np.uint8:
            raise EvaluationError(f"the results are 8-bit already: the same as {convention.twin}")
        key = (convention.output, convention.colour, convention.crop)
        errors, count = self._error(*key)
        total = math.fsum(errors)
        value = decibels(total, count)
        if convention.by_channel:
            values = [decibels(error, count // len(errors)) for error in errors]
            value = math.fsum(values) / len(values)
        similarity = self._similarity(
            convention.output,
            convention.ssim_colour or convention.colour,
            convention.crop,
            convention.shrinks,
            convention.window,
        )
        return Measured(value, total, count, similarity)

    def _error(self, output: Output, colour: Colour, crop: int) -> tuple[list[float], int]:
        key = (output, colour, crop)
        if key not in self._errors:
            one = self._plane("restored", output, colour, crop)
            other = self._plane("target", output, colour, crop)
            sums = [
                squared_error(one[..., channel], other[..., channel])
                for channel in range(one.shape[2])
            ]
            self._errors[key] = (sums, one.size)
        return self._errors[key]

    def _similarity(
        self, output: Output, colour: Colour, crop: int, shrinks: bool, window: SsimDefinition
    ) -> float:
        one = self._plane("restored", output, colour, crop)
        other = self._plane("target", output, colour, crop)
        factor = max(1, round(min(one.shape[:2]) / _SHRUNK_SIDE)) if shrinks else 1
        key = (output, colour, crop, factor, window)
        if key not in self._similarities:
            if factor > 1:
                one, other = _reduced(one, factor), _reduced(other, factor)
            self._similarities[key] = ssim(one, other, window)
        return self._similarities[key]

    def _plane(self, side: Side, output: Output, colour: Colour, crop: int) -> Array:
        """The values that are compared, on the scale 0..255, (H, W, C), without the border."""
        how: Output = "8-bit" if self._given[side].dtype == np.uint8 else output
        key = (side, how, colour)
        if key not in self._planes:
            self._planes[key] = self._coloured(side, how, colour)
        whole = self._planes[key]
        if crop:
            if min(whole.shape[:2]) <= 2 * crop:
                raise EvaluationError(
                    f"an image of {whole.shape[0]}x{whole.shape[1]} is all border"
                )
            return whole[crop:-crop, crop:-crop]
        return whole

    def _coloured(self, side: Side, output: Output, colour: Colour) -> Array:
        if colour in ("full Y", "full Y rounded") and self._given[side].shape[2] == 1:
            return _converted(self._given[side], output)
        if colour not in ("full Y", "full Y rounded"):
            self._refuse_grey()
        image = self._rgb(side, output)
        if colour == "RGB":
            return image
        if colour == "studio Y rounded":
            return matlab_luma(image)[..., None]
        if colour == "full Y rounded" and image.dtype == np.uint8:
            return opencv_luma(image)
        weights, black = (STUDIO_SWING, 16.0) if colour == "studio Y" else (_FULL_SWING, 0.0)
        exact = cv2.transform(np.ascontiguousarray(image, np.float64), weights)
        luma = np.asarray(exact).reshape(*image.shape[:2], 1) + black
        return np.asarray(np.rint(luma)) if colour == "full Y rounded" else np.asarray(luma)

    def _refuse_grey(self) -> None:
        if self._given["restored"].shape[2] < self._given["target"].shape[2]:
            raise EvaluationError("the results are grey and the targets are not")

    def _rgb(self, side: Side, output: Output, *, raw: bool = False) -> Array:
        """One side as RGB; ``raw`` leaves the scale of floats."""
        image = self._given[side] if raw else _converted(self._given[side], output)
        if image.shape[2] == 1:
            image = np.repeat(image, 3, axis=2)
        return np.ascontiguousarray(image)


def _converted(image: Array, output: Output) -> Array:
    """Bring a restored image to the scored values: uint8, or float64 on the scale 0..255."""
    if image.dtype == np.uint8:
        return image
    if output == "unclipped":
        return np.asarray(image.astype(np.float64) * PEAK)
    if output == "8-bit":
        return round_to_uint8(image)
    scaled = np.clip(image, 0.0, 1.0).astype(np.float64) * PEAK
    # 1e-3 of a level: 8-bit values that were stored as floats must not drop to the level below.
    return np.floor(scaled + 1e-3).astype(np.uint8) if output == "truncated" else scaled


def _reduced(image: Array, factor: int) -> Array:
    """Average blocks of ``factor`` x ``factor`` pixels; an incomplete last block is dropped."""
    height, width = (side // factor for side in image.shape[:2])
    blocks = image[: height * factor, : width * factor].astype(np.float64)
    return np.asarray(blocks.reshape(height, factor, width, factor, -1).mean(axis=(1, 3)))
