"""Slow float64 reference metrics, written from the formulas to verify the fast ones.

They loop over pixels and windows and share no code with the package. Only the alignment of RealBlur
uses OpenCV, because its script defines the alignment by that function.
"""

import math
from fractions import Fraction

import cv2
import numpy as np


def gaussian(size=11, sigma=1.5):
    half = size // 2
    weights = [math.exp(-(k * k) / (2 * sigma * sigma)) for k in range(-half, half + 1)]
    return np.array(weights) / sum(weights)


def matlab_y(rgb):
    """MATLAB's luma in exact rational arithmetic, halves rounded up."""
    luma = np.empty(rgb.shape[:2], np.uint8)
    for i in range(rgb.shape[0]):
        for j in range(rgb.shape[1]):
            r, g, b = (int(value) for value in rgb[i, j])
            exact = 16 + Fraction(65481 * r + 128553 * g + 24966 * b, 255000)
            luma[i, j] = math.floor(exact + Fraction(1, 2))
    return luma


def psnr(x, y, peak):
    total = sum((float(a) - float(b)) ** 2 for a, b in zip(x.ravel(), y.ravel(), strict=True))
    return 20 * math.log10(peak / math.sqrt(total / x.size))


def similarity(x, y, weights, data_range, correction=1.0):
    """SSIM of one window with the given weights; all three arrays have the same shape."""
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mean_x, mean_y = (weights * x).sum(), (weights * y).sum()
    var_x = (weights * (x - mean_x) ** 2).sum() * correction
    var_y = (weights * (y - mean_y) ** 2).sum() * correction
    cov = (weights * (x - mean_x) * (y - mean_y)).sum() * correction
    return ((2 * mean_x * mean_y + c1) * (2 * cov + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    )


def ssim_valid(x, y, weights, data_range, correction=1.0):
    """Two-dimensional SSIM over the windows that lie inside the image."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    size = weights.shape[0]
    values = [
        similarity(
            x[i : i + size, j : j + size],
            y[i : i + size, j : j + size],
            weights,
            data_range,
            correction,
        )
        for i in range(x.shape[0] - size + 1)
        for j in range(x.shape[1] - size + 1)
    ]
    return sum(values) / len(values)


def ssim_volume(x, y, data_range):
    """Three-dimensional SSIM: an 11x11x11 Gaussian, borders replicated in all dimensions."""
    g = gaussian()
    weights = g[:, None, None] * g[None, :, None] * g[None, None, :]
    x, y = (np.pad(z.astype(np.float64), 5, mode="edge") for z in (x, y))
    values = []
    for i in range(x.shape[0] - 10):
        for j in range(x.shape[1] - 10):
            for k in range(x.shape[2] - 10):
                window = (slice(i, i + 11), slice(j, j + 11), slice(k, k + 11))
                values.append(similarity(x[window], y[window], weights, data_range))
    return sum(values) / len(values)


def aligned(restored, target):
    """Gain, homography and mask of the RealBlur script; OpenCV finds and applies the homography."""
    x, z = (image.astype(np.float32) / np.float32(255) for image in (target, restored))
    z = z * (np.sum(x * z) / np.sum(z * z))
    _, warp = cv2.findTransformECC(
        cv2.cvtColor(x, cv2.COLOR_RGB2GRAY),
        cv2.cvtColor(z, cv2.COLOR_RGB2GRAY),
        np.eye(3, dtype=np.float32),
        cv2.MOTION_HOMOGRAPHY,
        (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 100, 0),
        inputMask=None,
        gaussFiltSize=5,
    )
    size = z.shape[1::-1]
    inverse = cv2.WARP_INVERSE_MAP
    mask = cv2.warpPerspective(np.ones_like(z), warp, size, flags=cv2.INTER_NEAREST | inverse)
    z = cv2.warpPerspective(
        z, warp, size, flags=cv2.INTER_CUBIC | inverse, borderMode=cv2.BORDER_REFLECT
    )
    return x * mask, z * mask, mask


def aligned_scores(restored, target):
    x, z, mask = aligned(restored, target)
    error = sum((float(a) - float(b)) ** 2 for a, b in zip(x.ravel(), z.ravel(), strict=True))
    g = np.outer(gaussian(), gaussian())
    framed = [np.pad(image, ((5, 5), (5, 5), (0, 0)), mode="symmetric") for image in (x, z)]
    similarities = []
    for channel in range(3):
        total = weight = 0.0
        for i in range(5, x.shape[0] - 5):
            for j in range(5, x.shape[1] - 5):
                if mask[i, j, channel]:
                    one, other = (f[i : i + 11, j : j + 11, channel].astype(float) for f in framed)
                    total += similarity(one, other, g, 1.0) * float(mask[i, j, channel])
                weight += float(mask[i, j, channel])
        similarities.append(total / weight)
    return 10 * math.log10(float(mask.sum(dtype=float)) / error), sum(similarities) / 3


def protocol_scores(name, x, y):
    """PSNR and SSIM of a scored image and its target under the protocol ``name``."""
    if name == "rain-y":
        x, y = matlab_y(x), matlab_y(y)
        g = gaussian()
        return psnr(x, y, 255), ssim_valid(x, y, np.outer(g, g), 255)
    if name == "realblur-aligned":
        return aligned_scores(x, y)
    if name == "gopro-rgb":
        return psnr(x, y, 255), ssim_volume(x, y, 255)
    if name == "sidd-blocks":
        y = (y / np.float32(255)).astype(np.float32)
        return psnr(x, y, 1), ssim_volume(x, y, 1)
    uniform = np.full((7, 7), 1 / 49)
    return psnr(x, y, 255), ssim_valid(x[..., 0], y[..., 0], uniform, 255, 49 / 48)
