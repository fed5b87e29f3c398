"""TIFF files of every layout, written by other programs, keep their pixels under `identity`."""

import itertools

import numpy as np
import pytest
import tifffile
from evaluation_stand_ins import noise
from PIL import Image, ImageCms, TiffImagePlugin

from dgunet.evaluation.restoration import identity
from dgunet.user_images.restoring import read_image, restore_file, write_image

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
HEIGHT, WIDTH = 21, 34
COMPRESSIONS = (None, "lzw", "adobe_deflate", "packbits", "zstd", "lzma")
# The stored pixels of an upright image, for each orientation.
STORED = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(np.swapaxes(a, 0, 1), 2),
    8: lambda a: np.rot90(a, 3),
}
# Name: number of colour channels, extra samples.
KINDS = {
    "grey": (1, []),
    "grey and alpha": (1, ["unassalpha"]),
    "rgb": (3, []),
    "rgb and alpha": (3, ["unassalpha"]),
    "rgb by alpha": (3, ["assocalpha"]),
    "rgb and something": (3, ["unspecified"]),
}


def written(path):
    """Read a file with tifffile; gives the pixels (H, W, C), the extra samples and the profile."""
    with tifffile.TiffFile(path) as tif:
        assert len(tif.pages) == 1
        page = tif.pages[0]
        assert page.tags.get(274) is None or page.tags[274].value == 1
        array = np.atleast_3d(page.asarray())
        icc = page.tags.get(34675)
        return array, [int(one) for one in page.extrasamples], icc and icc.value


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("kind", KINDS)
def test_every_layout_keeps_its_pixels(tmp_path, kind, depth):
    """All planar layouts, orientations and compressions; the other options take turns."""
    channels, extra = KINDS[kind]
    count = channels + len(extra)
    upright = noise(depth, count)
    options = itertools.cycle(itertools.product((0, 1), (0, 1), (0, 1), (0, 1), (0, 1)))
    planars = ("contig", "separate") if count > 1 else ("contig",)
    for planar, orientation, compression in itertools.product(planars, STORED, COMPRESSIONS):
        big_endian, big, tiles, profile, predictor = next(options)
        stored = np.ascontiguousarray(STORED[orientation](upright))
        data = np.moveaxis(stored, 2, 0) if planar == "separate" else stored
        tifffile.imwrite(
            tmp_path / "a.tif",
            np.ascontiguousarray(data if count > 1 else data[..., 0]),
            photometric="rgb" if channels == 3 else "minisblack",
            planarconfig=planar if count > 1 else None,
            extrasamples=extra or None,
            compression=compression,
            predictor=bool(predictor and compression not in (None, "packbits")),
            byteorder=">" if big_endian else "<",
            bigtiff=bool(big),
            tile=(16, 16) if tiles else None,
            rowsperstrip=None if tiles else 5,
            iccprofile=PROFILE if profile else None,
            extratags=[(274, 3, 1, orientation, True)],
            metadata=None,
        )
        restore_file(identity, tmp_path / "a.tif", tmp_path / "b.tif")
        array, samples, icc = written(tmp_path / "b.tif")
        case = (planar, orientation, compression, big_endian, big, tiles, profile, predictor)
        assert array.dtype == upright.dtype and np.array_equal(array, upright), case
        assert len(samples) == len(extra), case
        assert icc == (PROFILE if profile else None), case


@pytest.mark.parametrize("kind", ["shaped", "imagej", "ome"])
def test_a_layout_described_in_text_is_not_copied(tmp_path, kind):
    """tifffile, ImageJ and OME describe the shape in a text that readers use."""
    upright = noise(8, 3)
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.rot90(upright).copy(),
        photometric="rgb",
        imagej=kind == "imagej",
        ome=kind == "ome",
        extratags=[(274, 3, 1, 6, True)],
    )
    restore_file(identity, tmp_path / "a.tif", tmp_path / "b.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), upright)
    assert "ImageDescription" not in tifffile.TiffFile(tmp_path / "b.tif").pages[0].tags


@pytest.mark.parametrize("mode", ["L", "RGB", "LA", "RGBA"])
def test_other_readers_find_the_restored_pixels(tmp_path, mode):
    channels = len(mode)
    upright = noise(8, channels)
    Image.fromarray(upright if channels > 1 else upright[..., 0], mode).save(tmp_path / "a.tif")
    restore_file(identity, tmp_path / "a.tif", tmp_path / "b.tif")
    with Image.open(tmp_path / "b.tif") as image:
        assert image.mode == mode
        assert np.array_equal(np.atleast_3d(np.asarray(image)), upright)


@pytest.mark.parametrize("bits", [1, 2, 4, 10, 12, 14])
@pytest.mark.parametrize("white_is_zero", [False, True])
def test_odd_depths_are_scaled_to_8_or_16_bits(tmp_path, bits, white_is_zero):
    values = noise(16, 1)[..., 0] % 2**bits
    if bits == 1:
        data, packed = values.astype(bool), {}
    else:
        data, packed = values.astype(np.uint8 if bits < 8 else np.uint16), {"bitspersample": bits}
    photometric = "miniswhite" if white_is_zero else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", data, photometric=photometric, metadata=None, **packed)
    restored = restore_file(identity, tmp_path / "a.tif", tmp_path / "b.tif")
    top, full = 2**bits - 1, 255 if bits <= 8 else 65535
    expected = np.rint((top - values if white_is_zero else values) * (full / top))
    assert np.array_equal(written(tmp_path / "b.tif")[0][..., 0], expected)
    assert any(f"{bits} bit" in note for note in restored.notes)


@pytest.mark.parametrize("scale", [257, 256, 1])
def test_a_palette_is_converted_to_rgb(tmp_path, scale):
    palette = noise(8, 3, 1, 256)[0]
    index = noise(8, 1)[..., 0]
    tifffile.imwrite(
        tmp_path / "a.tif",
        index,
        photometric="palette",
        colormap=(palette.T.astype(np.uint16) * scale),
        metadata=None,
    )
    restored = restore_file(identity, tmp_path / "a.tif", tmp_path / "b.tif")
    assert np.array_equal(written(tmp_path / "b.tif")[0], palette[index])
    assert "its palette became RGB" in restored.notes


def test_a_bilevel_fax_image_is_read(tmp_path):
    values = noise(8, 1)[..., 0] > 127
    Image.fromarray(values).save(tmp_path / "a.tif", compression="group4")
    restore_file(identity, tmp_path / "a.tif", tmp_path / "b.tif")
    assert np.array_equal(written(tmp_path / "b.tif")[0][..., 0], values * 255)


@pytest.mark.parametrize("depth", [8, 16])
def test_cmyk_is_converted_to_rgb_with_a_note(tmp_path, depth):
    inks = noise(depth, 4)
    tifffile.imwrite(
        tmp_path / "a.tif", inks, photometric="separated", metadata=None, iccprofile=b"inks"
    )
    restored = restore_file(identity, tmp_path / "a.tif", tmp_path / "b.tif")
    full = 2**depth - 1
    expected = (1 - inks[..., :3] / full) * (1 - inks[..., 3:] / full) * full
    array, _, icc = written(tmp_path / "b.tif")
    assert np.abs(array - expected).max() <= 1 and icc is None
    assert "CMYK inks became RGB without their profile" in restored.notes


@pytest.mark.parametrize("sampling", [(1, 1), (2, 2)])
def test_colours_of_jpeg_inside_tiff_are_right(tmp_path, sampling):
    rows, columns = np.mgrid[:64, :96]
    smooth = np.stack([rows * 3, columns * 2, 255 - rows * 2 - columns // 2], -1)
    smooth = smooth.clip(0, 255).astype(np.uint8)
    tifffile.imwrite(
        tmp_path / "a.tif",
        smooth,
        photometric="rgb",
        compression="jpeg",
        compressionargs={"level": 95, "outcolorspace": "ycbcr"},
        subsampling=sampling,
        metadata=None,
    )
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.pages[0].photometric == 6
    Image.fromarray(smooth).save(tmp_path / "p.tif", compression="jpeg", quality=95)
    luma = Image.fromarray(smooth).convert("YCbCr")
    luma.save(tmp_path / "y.tif", compression="jpeg", quality=95)
    for name in ("a.tif", "p.tif", "y.tif"):
        restore_file(identity, tmp_path / name, tmp_path / "b.tif")
        array, _, _ = written(tmp_path / "b.tif")
        assert np.abs(array.astype(int) - smooth).mean() < 3


def test_ycbcr_without_jpeg_is_converted(tmp_path):
    rgb = noise(8, 3)
    luma = Image.fromarray(rgb).convert("YCbCr")
    luma.save(tmp_path / "a.tif")
    restore_file(identity, tmp_path / "a.tif", tmp_path / "b.tif")
    assert np.array_equal(written(tmp_path / "b.tif")[0], np.asarray(luma.convert("RGB")))


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("first", [True, False])
def test_a_thumbnail_page_is_skipped(tmp_path, marked, first):
    whole, small = noise(8, 3, 64, 96), noise(8, 3, 16, 24)
    pages = [(whole, 0), (small, 1 if marked else 0)]
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page, kind in pages if first else pages[::-1]:
            writer.write(page, photometric="rgb", subfiletype=kind, metadata=None)
    restored = restore_file(identity, tmp_path / "a.tif", tmp_path / "b.tif")
    assert np.array_equal(written(tmp_path / "b.tif")[0], whole)
    assert "a preview or mask page was left out" in restored.notes


def test_a_thumbnail_in_a_sub_directory_is_ignored(tmp_path):
    whole, small = noise(8, 3, 64, 96), noise(8, 3, 16, 24)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(whole, photometric="rgb", subifds=1, metadata=None)
        writer.write(small, photometric="rgb", subfiletype=1, metadata=None)
    restore_file(identity, tmp_path / "a.tif", tmp_path / "b.tif")
    assert np.array_equal(written(tmp_path / "b.tif")[0], whole)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (9, 1), (3, 4), (4, 3)])
@pytest.mark.parametrize("channels", [1, 3])
def test_tiny_images_keep_their_shape(tmp_path, height, width, channels):
    pixels = noise(16, channels, height, width)
    plain = pixels if channels > 1 else pixels[..., 0]
    photometric = "rgb" if channels == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", plain, photometric=photometric, metadata=None)
    restore_file(identity, tmp_path / "a.tif", tmp_path / "b.tif")
    again = read_image(tmp_path / "b.tif").pixels
    assert np.array_equal(again, pixels)


def test_descriptive_metadata_is_kept_and_layout_is_not(tmp_path):
    exif = Image.Exif()
    exif[0x010F], exif[0x0132], exif[0x0112] = "Maker", "2020:01:02 03:04:05", 6
    exif[0x8769] = {0x9003: "2020:01:02 03:04:05", 0x829A: TiffImagePlugin.IFDRational(1, 125)}
    exif[0x8825] = {1: "N", 2: (47.0, 22.0, 8.5)}
    Image.fromarray(noise(8, 3)).save(
        tmp_path / "a.tif",
        exif=exif.tobytes(),
        dpi=(300, 150),
        icc_profile=PROFILE,
    )
    restore_file(identity, tmp_path / "a.tif", tmp_path / "b.tif")
    restore_file(identity, tmp_path / "b.tif", tmp_path / "c.tif")
    for name in ("b.tif", "c.tif"):
        with Image.open(tmp_path / name) as image:
            assert image.size == (HEIGHT, WIDTH)
            found = image.getexif()
            assert found[0x010F] == "Maker" and found[0x0132] == "2020:01:02 03:04:05"
            assert found.get(0x0112, 1) == 1
            assert found.get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"
            assert float(found.get_ifd(0x8769)[0x829A]) == pytest.approx(1 / 125)
            assert [float(x) for x in found.get_ifd(0x8825)[2]] == [47.0, 22.0, 8.5]
            assert image.info["icc_profile"] == PROFILE
            assert [float(x) for x in image.info["dpi"]] == [300, 150]
    image = read_image(tmp_path / "b.tif")
    write_image(tmp_path / "d.jpg", image)
    with Image.open(tmp_path / "d.jpg") as image:
        assert image.getexif().get_ifd(0x8825)[1] == "N"


@pytest.mark.benchmarks_data
def test_all_eleven_files_of_set11_keep_their_pixels(tmp_path, benchmarks):
    files = sorted((benchmarks / "Set11").glob("*.tif"))
    assert len(files) == 11
    for path in files:
        restore_file(identity, path, tmp_path / path.name)
        with Image.open(path) as given, Image.open(tmp_path / path.name) as again:
            assert np.array_equal(
                np.asarray(given.convert("RGB")), np.asarray(again.convert("RGB"))
            )
