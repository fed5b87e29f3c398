"""Decoding of images: exact pixels, full-range grey and invalid files."""

import cv2
import numpy as np
import pytest
from PIL import Image

from dgunet.data.readers.images import FileImage, read_grey, read_rgb
from dgunet.system.errors import DataError


@pytest.fixture
def colours():
    return np.random.default_rng(3).integers(0, 256, (17, 23, 3), dtype=np.uint8)


def test_rgb_pixels_are_read_unchanged(tmp_path, colours):
    Image.fromarray(colours).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png"), colours)


def test_a_grey_file_gives_three_equal_channels(tmp_path, colours):
    Image.fromarray(colours[..., 0]).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png"), colours[..., :1].repeat(3, axis=2))


def test_colour_is_converted_to_the_y_of_opencv(tmp_path, colours):
    Image.fromarray(colours).save(tmp_path / "a.png")
    y = cv2.cvtColor(colours[..., ::-1].copy(), cv2.COLOR_BGR2YCrCb)[..., 0]
    np.testing.assert_array_equal(read_grey(tmp_path / "a.png")[..., 0], y)


def test_grey_and_palette_files_keep_their_levels(tmp_path):
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(levels).save(tmp_path / "grey.tif")
    palette = Image.fromarray(levels)
    palette.putpalette([level for level in range(256) for _ in range(3)])
    palette.save(tmp_path / "palette.tif")
    assert Image.open(tmp_path / "palette.tif").mode == "P"
    for name in ("grey.tif", "palette.tif"):
        np.testing.assert_array_equal(read_grey(tmp_path / name)[..., 0], levels)


def test_the_shape_is_read_from_the_header_alone(tmp_path, colours):
    path = tmp_path / "a.png"
    Image.fromarray(colours).save(path)
    path.write_bytes(path.read_bytes()[:60])
    assert FileImage(path).shape() == (17, 23, 3)
    assert FileImage(path, grey=True).shape() == (17, 23, 1)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp"])
def test_a_truncated_image_is_reported(tmp_path, colours, suffix):
    path = tmp_path / f"cut{suffix}"
    Image.fromarray(np.tile(colours, (8, 8, 1))).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=f"cut{suffix}"):
        read_rgb(path)


def test_files_that_are_no_image_are_reported(tmp_path):
    (tmp_path / "a.png").write_text("<html>404</html>")
    with pytest.raises(DataError, match=r"a\.png is not a readable image"):
        read_rgb(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"b\.png does not exist"):
        read_rgb(tmp_path / "b.png")


def test_sixteen_bits_and_alpha_are_refused(tmp_path, colours):
    cv2.imwrite(str(tmp_path / "deep.png"), colours.astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / "deepgrey.png"), colours[..., 0].astype(np.uint16) * 257)
    Image.fromarray(np.dstack([colours, colours[..., :1]])).save(tmp_path / "alpha.png")
    for name, problem in (
        ("deep.png", "more than 8 bits"),
        ("deepgrey.png", "more than 8 bits"),
        ("alpha.png", "alpha channel"),
    ):
        with pytest.raises(DataError, match=f"{name} has .*{problem}"):
            read_rgb(tmp_path / name)
