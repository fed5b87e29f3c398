"""The metric protocols against scikit-image and SciPy, PSNR and SSIM of one image pair.

The baseline computes the same numbers: scikit-image's own functions where they match the protocol,
and for the volume SSIM, which scikit-image does not offer, the same formula with SciPy's Gaussian
filter (the function that scikit-image calls). scikit-image's Y differs where it is exactly at a
half, hence the difference under ``rain-y``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.pairs import Pair, in_ways
from benchmarks.worker import Work

SIZES = ((384, 512), (2000, 3000))
"""Height and width in pixels."""

BASELINES = {
    "rain-y": "scikit-image",
    "gopro-rgb": "scikit-image PSNR, SciPy volume SSIM",
    "sidd-blocks": "scikit-image PSNR, SciPy volume SSIM",
    "cs-y": "scikit-image",
}
OURS = "dgunet"


def image_pair(height: int, width: int) -> tuple[Any, Any]:
    """A noisy uint8 RGB image and the smooth one."""
    import cv2

    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8)
    target = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    noise = rng.integers(-15, 16, (height, width, 3), dtype=np.int16)
    return np.clip(target + noise, 0, 255).astype(np.uint8), target


def scored_pair(name: str, height: int, width: int) -> tuple[Any, Any]:
    """The image pair in the types that the protocol scores."""
    restored, target = image_pair(height, width)
    if name == "cs-y":
        return restored[..., :1].astype(np.float64), target[..., :1].copy()
    if name == "sidd-blocks":
        return restored / np.float32(255), target
    return restored, target


def rain(x: Any, y: Any) -> tuple[float, float]:
    """PSNR and SSIM of rounded Y."""
    from skimage.color import rgb2ycbcr
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    first, second = (np.floor(rgb2ycbcr(image)[..., 0] + 0.5).astype(np.uint8) for image in (x, y))
    return (
        peak_signal_noise_ratio(second, first, data_range=255),
        structural_similarity(
            first,
            second,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
        ),
    )


def volume(x: Any, y: Any, peak: float) -> tuple[float, float]:
    """PSNR and SSIM with a three-dimensional window."""
    from scipy.ndimage import gaussian_filter
    from skimage.metrics import peak_signal_noise_ratio

    x, y = (image.astype(np.float64) for image in (x, y))
    mx, my, xx, yy, xy = (
        gaussian_filter(image, 1.5, truncate=3.5, mode="nearest")
        for image in (x, y, x * x, y * y, x * y)
    )
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    top = (2 * mx * my + c1) * (2 * (xy - mx * my) + c2)
    low = (mx * mx + my * my + c1) * (xx - mx * mx + yy - my * my + c2)
    return peak_signal_noise_ratio(y, x, data_range=peak), float((top / low).mean())


def sampling(x: Any, y: Any) -> tuple[float, float]:
    """PSNR and SSIM with a uniform window."""
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    first, second = x[..., 0], y[..., 0].astype(np.float64)
    return (
        peak_signal_noise_ratio(second, first, data_range=255),
        structural_similarity(first, second, data_range=255),
    )


def _baseline(name: str) -> Callable[[Any, Any], tuple[float, float]]:
    return {
        "rain-y": rain,
        "gopro-rgb": lambda x, y: volume(x, y, 255.0),
        "sidd-blocks": lambda x, y: volume(x, y / np.float32(255), 1.0),
        "cs-y": sampling,
    }[name]


def work(name: str, size: tuple[int, int], way: str) -> Work:
    """Score one pair; OpenCV uses one thread, as in an evaluation."""
    import cv2

    cv2.setNumThreads(1)
    x, y = scored_pair(name, *size)
    if way == OURS:
        from dgunet.evaluation.protocols import protocol

        rules = protocol(name)
        score = rules.score
        return Work(lambda: score(x, y), lambda found: {"psnr": found.psnr, "ssim": found.ssim})
    other = _baseline(name)
    return Work(lambda: other(x, y), lambda found: {"psnr": found[0], "ssim": found[1]})


def pairs(device: str, *, quick: bool) -> list[Pair]:
    """Every protocol with a baseline, at two sizes; the device does not matter."""
    return [
        Pair(
            f"{name}, {width}x{height}",
            *in_ways(
                "benchmarks.metrics_speed:work",
                {"name": name, "size": (height, width)},
                *(baseline, OURS),
            ),
            seconds=1 + 1e-6 * height * width,
            tolerance=1e-5,
        )
        for height, width in SIZES[: 1 if quick else None]
        for name, baseline in BASELINES.items()
    ]
