"""Scoring of RealBlur: gain, homography and mask before PSNR and SSIM, like its released script."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dgunet.evaluation.ssim import Float, SsimDefinition, ssim_map
from dgunet.imaging.arrays import Array, require_same_size, require_uint8
from dgunet.imaging.opencv import cv2
from dgunet.system.errors import EvaluationError

Single = NDArray[np.float32]

ITERATIONS = 100
GAUSS_FILTER = 5
SSIM_BORDER = 5
MASKED_SSIM = SsimDefinition(
    window="gaussian",
    size=11,
    border="reflect",
    volume=False,
    sample_covariance=False,
    data_range=1.0,
)


def aligned_scores(restored: Array, target: Array) -> tuple[float, float]:
    """Masked PSNR and SSIM after aligning ``restored`` to ``target``.

    Args:
        restored: uint8 RGB, shape (H, W, 3).
        target: uint8 RGB, shape (H, W, 3).

    Returns:
        PSNR in dB (infinite for identical images) and SSIM.

    Raises:
        EvaluationError: for arrays of another type or shape, a black image, or an alignment that
            does not converge.
    """
    require_uint8("restored", restored, 3)
    require_uint8("target", target, 3)
    require_same_size(restored, target)
    x = target.astype(np.float32) / np.float32(255)
    z, mask = align(restored.astype(np.float32) / np.float32(255), x)
    x = x * mask
    error = float(np.square(x - z, dtype=np.float64).sum() / mask.sum(dtype=np.float64))
    psnr = math.inf if error == 0.0 else 10.0 * math.log10(1.0 / error)
    return psnr, masked_ssim(x, z, mask)


def align(restored: Single, target: Single) -> tuple[Single, Single]:
    """Fit ``restored`` to ``target`` by one gain and one homography.

    The gain is ``<z, x> / <z, z>``; the homography maximises the enhanced correlation
    coefficient of the grey images.

    Args:
        restored: float32 RGB in [0, 1], shape (H, W, 3).
        target: float32 RGB in [0, 1], shape (H, W, 3).

    Returns:
        The warped image and its mask of pixels that come from inside, both (H, W, 3); the
        image is zero outside the mask.

    Raises:
        EvaluationError: for a black image or an alignment that does not converge.
    """
    power = float(np.square(restored).sum())
    if power == 0.0:
        raise EvaluationError(
            "the restored image is black and cannot be aligned.",
            "Check the weights; the protocol gives no score for a black image.",
        )
    scaled = restored * np.float32(np.sum(target * restored) / np.sum(restored * restored))
    greys = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (target, scaled)]
    homography = np.eye(3, 3, dtype=np.float32)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ITERATIONS, 0)
    try:
        _, homography = cv2.findTransformECC(
            greys[0], greys[1], homography, cv2.MOTION_HOMOGRAPHY, criteria, None, GAUSS_FILTER
        )
    except cv2.error as error:
        raise EvaluationError(
            "the alignment of the restored image to its target does not converge.",
            "Check that both show the same scene; the protocol gives no score otherwise.",
        ) from error
    size = (target.shape[1], target.shape[0])
    warped = cv2.warpPerspective(
        scaled,
        homography,
        size,
        flags=cv2.INTER_CUBIC + cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    )
    mask = cv2.warpPerspective(
        np.ones_like(restored),
        homography,
        size,
        flags=cv2.INTER_NEAREST + cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    return np.asarray(warped * mask, np.float32), np.asarray(mask, np.float32)


def masked_ssim(target: Single, restored: Single, mask: Single) -> float:
    """Mean over channels of the masked SSIM, without the five pixels along each border.

    The window covers the whole image, reflected at the border; the mask weights the map.
    """
    inner = (slice(SSIM_BORDER, -SSIM_BORDER), slice(SSIM_BORDER, -SSIM_BORDER))
    similarity: Float = ssim_map(target, restored, MASKED_SSIM)[inner]
    weights = mask[inner].astype(np.float64)
    return float(np.mean((similarity * weights).sum((0, 1)) / weights.sum((0, 1))))
