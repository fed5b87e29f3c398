"""Properties of the degradations of the sample."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dgunet.data.sample.degrade import (
    GAMMA,
    RainLayer,
    add_rain,
    add_sensor_noise,
    camera_path,
    motion_blur,
    rain_layer,
)

seeds = st.integers(0, 2**31)
rains = st.builds(
    RainLayer,
    length=st.integers(3, 15),
    angle=st.floats(-40, 40),
    density=st.floats(0.005, 0.02),
    opacity=st.floats(0.2, 0.9),
)


def random_image(seed, height=48, width=56):
    return np.random.default_rng(seed).uniform(0.0, 0.9, (height, width, 3))


@settings(deadline=None, max_examples=15)
@given(seeds, rains)
def test_rain_only_brightens_and_stays_in_range(seed, rain):
    clean = random_image(seed)
    rainy = add_rain(clean, [rain], np.random.default_rng(seed))
    assert (rainy >= clean).all()
    assert rainy.max() <= 1.0
    assert rainy.mean() > clean.mean()


@settings(deadline=None, max_examples=10)
@given(seeds, rains)
def test_every_degradation_is_a_function_of_its_seed(seed, rain):
    clean = random_image(seed)
    for degrade in (
        lambda rng: add_rain(clean, [rain], rng),
        lambda rng: add_sensor_noise(clean, 0.01, 0.001, rng),
    ):
        first = degrade(np.random.default_rng(seed))
        np.testing.assert_array_equal(first, degrade(np.random.default_rng(seed)))
        assert (first != degrade(np.random.default_rng(seed + 1))).any()


def test_rain_streaks_follow_their_angle():
    """Correlation along the streaks is high, across them low."""
    for angle, along, across in ((0.0, (4, 0), (0, 4)), (45.0, (4, 4), (4, -4))):
        rain = RainLayer(length=13, angle=angle, density=0.01, opacity=1.0)
        layer = rain_layer((300, 300), rain, np.random.default_rng(0))
        layer = layer - layer.mean()

        def correlation(shift, layer=layer):
            return (layer * np.roll(layer, shift, (0, 1))).mean() / layer.var()

        assert correlation(along) > 0.4
        assert abs(correlation(across)) < 0.15


def test_more_density_and_more_opacity_mean_more_rain():
    clean = random_image(1)
    added = [
        add_rain(clean, [RainLayer(9, 0.0, density, opacity)], np.random.default_rng(2)).mean()
        for density, opacity in ((0.005, 0.3), (0.005, 0.6), (0.02, 0.6))
    ]
    assert clean.mean() < added[0] < added[1] < added[2]


@settings(deadline=None, max_examples=15)
@given(seeds, st.floats(2.0, 9.0), st.floats(-90.0, 90.0), st.floats(-3.0, 3.0))
def test_blur_preserves_the_mean_of_linear_light(seed, length, angle, bend):
    """Exactly, if the whole camera path is inside the image."""
    image = np.full((64, 64, 3), 0.2)
    image[24:40, 24:40] = random_image(seed, 16, 16)
    blurred = motion_blur(image, camera_path(length, angle, bend, 9))
    np.testing.assert_allclose((blurred**GAMMA).mean(), (image**GAMMA).mean(), rtol=1e-10)
    assert blurred.mean() >= image.mean() - 1e-12, "the camera response is concave"


def test_a_linear_response_preserves_the_mean_of_the_stored_values():
    image = np.full((64, 64, 3), 0.2)
    image[24:40, 24:40] = random_image(5, 16, 16)
    blurred = motion_blur(image, camera_path(8.0, 30.0, 1.0, 9), gamma=1.0)
    np.testing.assert_allclose(blurred.mean(), image.mean(), rtol=1e-10)


def test_a_motionless_camera_changes_nothing():
    image = random_image(7)
    np.testing.assert_allclose(motion_blur(image, camera_path(0.0, 0.0, 0.0, 9)), image, atol=1e-12)


def test_the_camera_path_has_the_given_length_around_the_sharp_frame():
    path = camera_path(6.0, 0.0, 0.0, 9)
    np.testing.assert_allclose(path[-1] - path[0], (0.0, 6.0))
    np.testing.assert_array_equal(path[4], (0.0, 0.0))


@pytest.mark.parametrize("level", [0.2, 0.5, 0.8])
def test_noise_has_the_variance_of_its_equation(level):
    shot, read = 0.01, 0.001
    clean = np.full((200, 200, 3), level)
    noise = add_sensor_noise(clean, shot, read, np.random.default_rng(1), clip=False) - clean
    expected = shot * level + read
    # The variance of n samples has a relative deviation of sqrt(2 / n), here 0.4 %.
    assert abs(noise.var() / expected - 1) < 0.02
    assert abs(noise.mean()) < 5 * np.sqrt(expected / noise.size)


def test_noise_is_clipped_at_black_and_white():
    clean = np.tile([0.0, 1.0], (50, 50))[..., None]
    noisy = add_sensor_noise(clean, 0.01, 0.01, np.random.default_rng(0))
    assert noisy.min() == 0.0
    assert noisy.max() == 1.0
