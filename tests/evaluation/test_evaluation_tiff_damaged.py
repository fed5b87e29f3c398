"""Damaged and unsupported TIFF files are refused in one line."""

import io

import numpy as np
import pytest
import tifffile
from evaluation_stand_ins import noise
from PIL import Image

from dgunet.evaluation.restoration import identity
from dgunet.system.errors import DataError
from dgunet.user_images.restoring import restore_file


def refused(name, message, make, tmp_path):
    path = tmp_path / f"{name}.tif"
    make(path)
    with pytest.raises(DataError, match=message) as caught:
        restore_file(identity, path, tmp_path / "b.tif")
    assert name in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "b.tif").exists()


def test_unsupported_layouts_are_refused_in_one_line(tmp_path):
    def plain(array, **options):
        return lambda path: tifffile.imwrite(path, array, metadata=None, **options)

    def frames(path):
        for seed in range(3):
            tifffile.imwrite(path, noise(8, 3, seed=seed), append=seed > 0, metadata=None)

    floats = noise(8, 3).astype(np.float32) / 255
    refused("floats", "floating-point 32-bit", plain(floats, photometric="rgb"), tmp_path)
    refused("signed", "signed 16-bit", plain(noise(8, 1)[..., 0].astype(np.int16)), tmp_path)
    refused("wide", "32-bit", plain(noise(8, 1)[..., 0].astype(np.uint32)), tmp_path)
    five = plain(noise(8, 5), photometric="rgb", extrasamples=[0, 0], planarconfig="contig")
    refused("five", "5 samples", five, tmp_path)
    lab = plain(noise(8, 3), photometric="cielab")
    refused("lab", "CIELAB", lab, tmp_path)
    inks = plain(noise(8, 5), photometric="separated", extrasamples=[2], planarconfig="contig")
    refused("inks", "5 samples", inks, tmp_path)
    refused("frames", "3 frames", frames, tmp_path)


@pytest.mark.parametrize("compression", [None, "lzw", "adobe_deflate", "packbits", "jpeg"])
@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9])
def test_a_truncated_file_is_refused_and_not_filled_with_black(tmp_path, compression, keep):
    path = tmp_path / "a.tif"
    pixels = noise(8, 3, 128, 128)
    tifffile.imwrite(path, pixels, photometric="rgb", compression=compression, rowsperstrip=8)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(DataError, match="not a readable image"):
        restore_file(identity, path, tmp_path / "b.tif")


@pytest.mark.parametrize("compression", [None, "lzw"])
def test_a_missing_strip_is_refused_and_not_filled_with_black(tmp_path, compression):
    path = tmp_path / "a.tif"
    pixels = noise(8, 3, 64, 64)
    tifffile.imwrite(path, pixels, photometric="rgb", compression=compression, rowsperstrip=8)
    with tifffile.TiffFile(path, mode="r+b") as tif:
        counts = tif.pages[0].tags[279]
        counts.overwrite((*counts.value[:3], 0, *counts.value[4:]))
        tags = tif.pages[0].tags
        tags[273].overwrite((*tags[273].value[:3], 0, *tags[273].value[4:]))
    assert not tifffile.imread(path)[24:32].any()
    with pytest.raises(DataError, match="parts are missing"):
        restore_file(identity, path, tmp_path / "b.tif")


def test_changed_bytes_give_pixels_or_a_one_line_error(tmp_path):
    """300 files with one to three changed bytes give an image or an error with the file name."""
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[271], exif[306] = "Maker", "2020:01:02 03:04:05"
    Image.fromarray(noise(8, 3)).save(buffer, "TIFF", compression="tiff_lzw", exif=exif)
    content = buffer.getvalue()
    rng = np.random.default_rng(0)
    for _ in range(300):
        changed = bytearray(content)
        for position in rng.integers(0, len(content), rng.integers(1, 4)):
            changed[position] = rng.integers(256)
        (tmp_path / "a.tif").write_bytes(bytes(changed))
        try:
            restore_file(identity, tmp_path / "a.tif", tmp_path / "b.tif")
        except DataError as error:
            assert "a.tif" in str(error)
