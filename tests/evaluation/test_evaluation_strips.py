"""Images joined side by side with a white gap, and conversion to 8-bit RGB."""

import numpy as np
import pytest

from dgunet.imaging.strips import as_rgb8, side_by_side


@pytest.mark.parametrize(("kind", "white"), [(np.uint8, 255), (np.float32, 1)])
def test_images_are_joined_from_left_to_right_with_a_white_gap(kind, white):
    left, right = np.zeros((2, 3, 3), kind), np.full((2, 1, 3), 1, kind)
    joined = side_by_side([left, right], gap=2)
    assert joined.dtype == kind
    assert joined[0, :, 0].tolist() == [0, 0, 0, white, white, 1]
    assert np.array_equal(side_by_side([left, right]), np.concatenate([left, right], axis=1))


def test_images_of_different_heights_and_empty_lists_are_refused():
    with pytest.raises(ValueError):
        side_by_side([np.zeros((2, 2, 3)), np.zeros((3, 2, 3))])
    with pytest.raises(ValueError):
        side_by_side([])


def test_floats_and_grey_become_8_bit_rgb():
    grey = np.array([[-0.5, 0.5, 2.0]])
    assert as_rgb8(grey).tolist() == [[[0, 0, 0], [128, 128, 128], [255, 255, 255]]]
    assert as_rgb8(grey[..., None]).dtype == np.uint8
    colour = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    assert np.array_equal(as_rgb8(colour), colour)
