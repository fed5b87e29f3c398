"""The metric protocols behind the paper's tables, as named and versioned objects.

The paper says "PSNR" and "SSIM" throughout; its released evaluation scripts compute them
differently for every task. A protocol states every choice, and its version is stored with every
number. Increase ``version`` whenever a definition changes.
"""

from __future__ import annotations

import numpy as np

from dgunet.evaluation.alignment import aligned_scores
from dgunet.evaluation.metric_protocol import Protocol, Score
from dgunet.evaluation.ssim import SsimDefinition, ssim
from dgunet.imaging.arrays import (
    Array,
    require_floats,
    require_same_size,
    require_uint8,
)
from dgunet.imaging.colour import matlab_luma, opencv_luma
from dgunet.imaging.psnr import psnr
from dgunet.system.errors import ConfigError


def round_to_uint8(restored: Array) -> Array:
    """Clip to [0, 1], scale by 255 in float32, and round half to even to uint8."""
    clipped = np.clip(restored, 0.0, 1.0).astype(np.float32)
    return np.asarray(np.rint(clipped * np.float32(255)), np.uint8)


def unit_float(image: Array) -> Array:
    """Convert uint8 to float32 in [0, 1] by division by 255, like MATLAB's ``im2single``."""
    require_uint8("target", image, image.shape[-1])
    return np.asarray(image / np.float32(255), np.float32)


def _clip_float32(restored: Array) -> Array:
    return np.asarray(np.clip(restored, 0.0, 1.0), np.float32)


def _clip_scale_float64(restored: Array) -> Array:
    return np.asarray(np.clip(restored, 0.0, 1.0), np.float64) * 255.0


_GAUSSIAN_VALID = SsimDefinition("gaussian", 11, "valid", False, False, 255.0)
_GAUSSIAN_VOLUME = SsimDefinition("gaussian", 11, "replicate", True, False, 255.0)
_GAUSSIAN_VOLUME_UNIT = SsimDefinition("gaussian", 11, "replicate", True, False, 1.0)
_UNIFORM_VALID = SsimDefinition("uniform", 7, "valid", False, True, 255.0)


def _score_rain(restored: Array, target: Array) -> Score:
    require_uint8("restored", restored, 3)
    require_uint8("target", target, 3)
    require_same_size(restored, target)
    first, second = matlab_luma(restored), matlab_luma(target)
    return Score(psnr(first, second, 255.0), ssim(first, second, _GAUSSIAN_VALID))


def _score_gopro(restored: Array, target: Array) -> Score:
    require_uint8("restored", restored, 3)
    require_uint8("target", target, 3)
    return Score(psnr(restored, target, 255.0), ssim(restored, target, _GAUSSIAN_VOLUME))


def _score_sidd(restored: Array, target: Array) -> Score:
    require_floats("restored", restored, 3, 1.0)
    require_uint8("target", target, 3)
    truth = unit_float(target)
    return Score(psnr(restored, truth, 1.0), ssim(restored, truth, _GAUSSIAN_VOLUME_UNIT))


def _score_cs(restored: Array, target: Array) -> Score:
    require_floats("restored", restored, 1, 255.0)
    luma = opencv_luma(target)
    return Score(psnr(restored, luma, 255.0, identical=100.0), ssim(restored, luma, _UNIFORM_VALID))


def _score_realblur(restored: Array, target: Array) -> Score:
    return Score(*aligned_scores(restored, target))


_RGB_READ = (
    "the output clipped to [0, 1], times 255 in float32, rounded half to even to uint8 "
    "(the released test writes such a PNG and the metric reads it back); target uint8 RGB"
)
_VOLUME_TEXT = (
    "MATLAB ssim of an H x W x 3 array, which it filters as a volume: 11x11x11 Gaussian, sigma "
    "1.5, borders replicated in all three dimensions, K = (0.01, 0.03), biased covariance, mean "
    "over the full map"
)
_MEAN = "arithmetic mean over images; one image of infinite PSNR makes the mean infinite"

_ALL = (
    Protocol(
        name="rain-y",
        version=1,
        tables="1, 5, 6 (Test100, Rain100H, Rain100L, Test2800, Test1200)",
        reads=_RGB_READ,
        colour="MATLAB rgb2ycbcr of uint8: studio-swing BT.601 Y, rounded half up to uint8 before "
        "the metric",
        data_range=255.0,
        psnr="20 log10(255 / rmse) over the whole Y image, no border removed; identical: inf",
        ssim="Wang 2004 on Y: 11x11 Gaussian, sigma 1.5, K = (0.01, 0.03), L = 255, biased "
        "covariance, mean over the (H - 10) x (W - 10) positions where the window fits",
        averaging=_MEAN + "; the table's average is the mean of the five unrounded set means",
        padding="none here; the network pads to its stride inside and crops",
        clipping="[0, 1] before rounding",
        source="the released deraining evaluation script (MATLAB)",
        silent="the paper names neither the colour space, nor the rounding of Y, nor the SSIM",
        self_ensemble=False,
        tile=None,
        channels=3,
        window=_GAUSSIAN_VALID,
        _quantise=round_to_uint8,
        _score=_score_rain,
    ),
    Protocol(
        name="gopro-rgb",
        version=1,
        tables="2 (GoPro, HIDE)",
        reads=_RGB_READ,
        colour="none, RGB",
        data_range=255.0,
        psnr="10 log10(255^2 / mean squared error over all H x W x 3 values); identical: inf",
        ssim=_VOLUME_TEXT + ", L = 255",
        averaging=_MEAN,
        padding="none here; the network pads to its stride inside and crops",
        clipping="[0, 1] before rounding",
        source="the released deblurring evaluation script (MATLAB psnr and ssim built-ins)",
        silent="the paper does not say that the SSIM is three-dimensional; per-channel SSIM "
        "differs by up to 0.13",
        self_ensemble=False,
        tile=None,
        channels=3,
        window=_GAUSSIAN_VOLUME,
        _quantise=round_to_uint8,
        _score=_score_gopro,
    ),
    Protocol(
        name="realblur-aligned",
        version=1,
        tables="none: the twelfth set, named by the released code, not tabulated (RealBlur-J)",
        reads=_RGB_READ + "; both then divided by 255 as float32",
        colour="none, RGB; grey (OpenCV weights) only to find the alignment",
        data_range=1.0,
        psnr="10 log10(mask sum / squared error) after gain <z,x>/<z,z>, ECC homography (100 "
        "iterations, Gaussian filter 5), bicubic warp and the mask of warped ones; identical: inf",
        ssim="11x11 Gaussian, sigma 1.5, K = (0.01, 0.03), L = 1, biased covariance, reflected "
        "border, per channel; map times mask, 5 border pixels removed, divided by the mask's sum, "
        "mean over channels",
        averaging=_MEAN,
        padding="none here; the network pads to its stride inside and crops",
        clipping="[0, 1] before rounding",
        source="the released RealBlur evaluation script (Python); its alignment varies slightly "
        "between OpenCV versions",
        silent="the paper says twelve sets and tabulates eleven; this one has no published value",
        self_ensemble=False,
        tile=None,
        channels=3,
        window=None,
        _quantise=round_to_uint8,
        _score=_score_realblur,
    ),
    Protocol(
        name="sidd-blocks",
        version=1,
        tables="3 (SIDD)",
        reads="the 40 x 32 validation blocks of 256 x 256 sRGB pixels; the output clipped to "
        "[0, 1] as float32 and not rounded; target uint8 divided by 255 as float32",
        colour="none, RGB",
        data_range=1.0,
        psnr="10 log10(1 / mean squared error over all 256 x 256 x 3 values); identical: inf",
        ssim=_VOLUME_TEXT + ", L = 1",
        averaging="arithmetic mean over the 1,280 blocks",
        padding="none",
        clipping="[0, 1] after the average of the eight raw outputs",
        source="the released denoising test (blocks, x8) and the evaluation script of the code it "
        "descends from (MATLAB psnr and ssim), since the released README refers to one it lacks",
        silent="the paper mentions no self-ensemble; the released test applies it",
        self_ensemble=True,
        tile=None,
        channels=3,
        window=_GAUSSIAN_VOLUME_UNIT,
        _quantise=_clip_float32,
        _score=_score_sidd,
    ),
    Protocol(
        name="dnd-server",
        version=1,
        tables="3 (DND)",
        reads="the 1,000 boxes of 50 images; the output clipped to [0, 1] as float32 and not "
        "rounded, bundled as the server takes it",
        colour="none, RGB",
        data_range=1.0,
        psnr="computed by the benchmark's server, entered with its evidence",
        ssim="computed by the benchmark's server, entered with its evidence",
        averaging="by the server",
        padding="none here; the network pads to its stride inside and crops",
        clipping="[0, 1] after the average of the eight raw outputs",
        source="the released DND test (x8, bundled .mat files)",
        silent="the paper mentions no self-ensemble; the released test applies it",
        self_ensemble=True,
        tile=None,
        channels=3,
        window=None,
        _quantise=_clip_float32,
        _score=None,
    ),
    Protocol(
        name="cs-y",
        version=1,
        tables="4 (Set11, BSD68)",
        reads="the clean image's uint8 luma divided by 255 is sampled; the output clipped to "
        "[0, 1], times 255 in float64, not rounded; target uint8 luma",
        colour="OpenCV YCrCb of uint8: full-range BT.601 Y (grey images unchanged)",
        data_range=255.0,
        psnr="20 log10(255 / rmse) over the cropped image; identical: 100, as the source returns",
        ssim="scikit-image's default: 7x7 uniform window, sample covariance (N / (N - 1)), K = "
        "(0.01, 0.03), L = 255, mean over the positions where the window fits",
        averaging="arithmetic mean over images",
        padding="zeros at the right and bottom by 128 - (size mod 128), so a divisible size gets "
        "a whole extra tile; 128 x 128 tiles, restored independently; cropped after",
        clipping="[0, 1] before scoring",
        source="the released compressive-sensing test",
        silent="the paper names neither the luma, nor the tiles, nor the SSIM window; tiles change "
        "the numbers, because the network's normalisation sees one tile",
        self_ensemble=False,
        tile=128,
        channels=1,
        window=_UNIFORM_VALID,
        _quantise=_clip_scale_float64,
        _score=_score_cs,
    ),
)

PROTOCOLS: dict[str, Protocol] = {each.name: each for each in _ALL}


def protocol(name: str) -> Protocol:
    """The protocol called ``name``.

    Raises:
        ConfigError: for an unknown name.
    """
    if name not in PROTOCOLS:
        raise ConfigError(f"unknown protocol {name!r}.", f"Choose from {', '.join(PROTOCOLS)}.")
    return PROTOCOLS[name]
