"""Synthetic degradations of the sample data: rain, motion blur, sensor noise.

Pure functions of a clean image x, float64 H x W x C in [0, 1], and a NumPy generator; results have
the same shape and range. They only make the sample realistic enough to train on; the benchmarks'
images are never synthesised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float64]

GAMMA = 2.2
"""Exponent of the camera response g(u) = u^(1/2.2), the usual model of an unknown response."""


@dataclass(frozen=True)
class RainLayer:
    """Parameters of one layer of rain.

    Attributes:
        length: length of a streak in pixels.
        angle: angle from the vertical in degrees, positive to the right.
        density: probability that a streak begins at a pixel.
        opacity: opacity of the brightest streak, 0 to 1.
    """

    length: int
    angle: float
    density: float
    opacity: float


def rain_layer(shape: tuple[int, int], rain: RainLayer, rng: np.random.Generator) -> Array:
    """Streak mask s in [0, 1], H x W: random seeds, smeared along the direction of fall.

    s = min(1, sum_t n(p - t d)), t = 0 .. length-1, where n is zero except with probability
    ``density`` per pixel, uniform in [0.5, 1] there, and d is the unit vector of the fall. The mask
    is smoothed by a Gaussian of half a pixel.
    """
    margin = rain.length
    height, width = shape[0] + 2 * margin, shape[1] + 2 * margin
    seeds = rng.random((height, width)) < rain.density
    strength = np.where(seeds, rng.uniform(0.5, 1.0, (height, width)), 0.0)
    size = 2 * rain.length - 1
    kernel = np.zeros((size, size))
    angle = np.deg2rad(rain.angle)
    for t in range(rain.length):
        row, column = t * np.cos(angle), t * np.sin(angle)
        kernel[size // 2 + round(row), size // 2 + round(column)] = 1.0
    layer = ndimage.convolve(strength, kernel, mode="constant")
    layer = ndimage.gaussian_filter(layer, 0.5)[margin:-margin, margin:-margin]
    return np.minimum(layer, 1.0)


def add_rain(image: Array, layers: list[RainLayer], rng: np.random.Generator) -> Array:
    """Rainy image: y = x + o s (1 - x) for each layer in turn, s from `rain_layer`, o its opacity.

    Screen blending: rain only brightens, and the result stays in [0, 1].
    """
    rainy = image
    for rain in layers:
        mask = rain.opacity * rain_layer(image.shape[:2], rain, rng)[..., None]
        rainy = rainy + mask * (1.0 - rainy)
    return rainy


def camera_path(length: float, angle: float, bend: float, frames: int) -> Array:
    """Offsets of the sub-frames, ``frames`` x 2 (rows, columns) in pixels, zero at the central one.

    An arc: p(t) = length t e + bend (t^2 - 1/12) e', t from -1/2 to 1/2, where e has the
    direction ``angle`` (degrees from the horizontal) and e' is perpendicular to it. The central
    frame is at zero, so that the sharp and the blurred image are registered.
    """
    t = np.linspace(-0.5, 0.5, frames)
    along, across = length * t, bend * (t**2 - 1.0 / 12.0)
    turn = np.deg2rad(angle)
    rows = along * np.sin(turn) + across * np.cos(turn)
    columns = along * np.cos(turn) - across * np.sin(turn)
    path = np.stack([rows, columns], axis=1)
    middle: Array = path - path[frames // 2]
    return middle


def motion_blur(image: Array, path: Array, gamma: float = GAMMA) -> Array:
    """Blurred image: y = g( 1/M sum_m g^-1( x(p - path_m) ) ), g(u) = u^(1/gamma).

    Sub-frames are sampled bilinearly and averaged in linear light. ``gamma=1`` averages the stored
    values themselves, the linear response of GoPro's ``blur`` folder; ``blur_gamma`` has 2.2.
    Pixels closer to the border than the length of the path see mirrored content.
    """
    linear = image**gamma
    total = np.zeros_like(linear)
    for row, column in path:
        total += ndimage.shift(linear, (row, column, 0.0), order=1, mode="mirror")
    mean: Array = np.clip(total / len(path), 0.0, 1.0) ** (1.0 / gamma)
    return mean


def add_sensor_noise(
    image: Array, shot: float, read: float, rng: np.random.Generator, *, clip: bool = True
) -> Array:
    """Noisy image: y = x + sqrt(shot x + read) n, n standard normal, independent in each value.

    The variance grows linearly with the signal, as in photon counting: sigma^2 = shot x + read,
    both in units of the white level. ``clip`` clips to [0, 1] as a sensor does.
    """
    noisy: Array = image + np.sqrt(shot * image + read) * rng.standard_normal(image.shape)
    return np.clip(noisy, 0.0, 1.0) if clip else noisy
