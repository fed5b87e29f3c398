"""Time and memory of the metric protocols against scikit-image and SciPy.

    python benchmarks/metrics_speed.py [--out benchmarks/results/metrics_speed.json]

Each protocol is timed on one 512x384 image pair, then its baseline: process CPU time summed over
threads, the minimum of the repetitions. The baseline computes the same numbers: scikit-image's own
functions where they match the protocol, and for the volume SSIM, which scikit-image does not offer,
the same formula with SciPy's Gaussian filter (the function that scikit-image calls). scikit-image's
Y differs where it is exactly at a half, hence its deviation under ``rain-y``. The keys ``rival``
and ``rival_ms`` of the results stand for the baseline. Memory is what a 6000x4000 pair needs beyond
the pair itself, in a process of its own (Linux: the peak is reset before scoring).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import time
from pathlib import Path

import cv2
import numpy as np
import scipy
import skimage
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from dgunet.evaluation.protocols import protocol

REPETITIONS = 40


def image_pair(height, width, seed=0):
    """A smooth uint8 RGB image and a noisy one."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8)
    target = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    noise = rng.integers(-15, 16, (height, width, 3), dtype=np.int16)
    return np.clip(target + noise, 0, 255).astype(np.uint8), target


def scored_pair(name, height, width):
    """The image pair in the types that the protocol scores."""
    restored, target = image_pair(height, width)
    if name == "cs-y":
        return restored[..., :1].astype(np.float64), target[..., :1].copy()
    if name == "sidd-blocks":
        return restored / np.float32(255), target
    return restored, target


def rain(x, y):
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


def volume(x, y, peak):
    x, y = (image.astype(np.float64) for image in (x, y))
    mx, my, xx, yy, xy = (
        gaussian_filter(image, 1.5, truncate=3.5, mode="nearest")
        for image in (x, y, x * x, y * y, x * y)
    )
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    top = (2 * mx * my + c1) * (2 * (xy - mx * my) + c2)
    low = (mx * mx + my * my + c1) * (xx - mx * mx + yy - my * my + c2)
    return peak_signal_noise_ratio(y, x, data_range=peak), float((top / low).mean())


def sampling(x, y):
    first, second = x[..., 0], y[..., 0].astype(np.float64)
    return (
        peak_signal_noise_ratio(second, first, data_range=255),
        structural_similarity(first, second, data_range=255),
    )


BASELINES = {
    "rain-y": ("scikit-image", rain),
    "gopro-rgb": ("scikit-image PSNR, SciPy volume SSIM", lambda x, y: volume(x, y, 255.0)),
    "sidd-blocks": (
        "scikit-image PSNR, SciPy volume SSIM",
        lambda x, y: volume(x, y / np.float32(255), 1.0),
    ),
    "cs-y": ("scikit-image", sampling),
}


def seconds(function):
    start = time.process_time()
    function()
    return time.process_time() - start


def speed(name):
    x, y = scored_pair(name, 384, 512)
    rules, (baseline, other) = protocol(name), BASELINES[name]
    score, expected = rules.score(x, y), other(x, y)
    ours, theirs = (
        min(seconds(lambda call=call: call(x, y)) for _ in range(REPETITIONS))
        for call in (rules.score, other)
    )
    return {
        "rival": baseline,
        "ms": round(ours * 1e3, 2),
        "rival_ms": round(theirs * 1e3, 2),
        "ratio": round(theirs / ours, 2),
        "psnr_deviation": abs(score.psnr - expected[0]),
        "ssim_deviation": abs(score.ssim - expected[1]),
    }


def resident(field):
    """A memory value of this process in MiB, from /proc/self/status."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no {field} in /proc/self/status")


def peak_growth(name, height, width, queue):
    x, y = scored_pair(name, height, width)
    protocol(name).score(x[:64, :64], y[:64, :64])
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    before = resident("VmRSS")
    start = time.perf_counter()
    protocol(name).score(x, y)
    took = time.perf_counter() - start
    queue.put((resident("VmHWM") - before, took))


def memory(name):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=peak_growth, args=(name, 4000, 6000, queue))
    process.start()
    grown, took = queue.get()
    process.join()
    return {"peak_growth_mib": round(grown, 1), "seconds": round(took, 2)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    result = {
        "machine": f"{os.cpu_count()} CPU cores, {platform.machine()}",
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "scipy": scipy.__version__,
            "scikit-image": skimage.__version__,
        },
        "speed_512x384": {name: speed(name) for name in BASELINES},
        "memory_6000x4000": {name: memory(name) for name in BASELINES},
    }
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
