"""User images with unusual names, depths, transparency and metadata.

The network is the identity, so that only reading and writing affect the pixels.
"""

import io
import os
import struct

import numpy as np
import pytest
import tifffile
from evaluation_stand_ins import photo
from PIL import Image, TiffImagePlugin

from dgunet.evaluation.restoration import identity
from dgunet.system.errors import DataError
from dgunet.user_images import encoding
from dgunet.user_images.decoded import UserImage
from dgunet.user_images.metadata import DAMAGED, descriptive_exif
from dgunet.user_images.restoring import read_image, restore_file, write_image


def random_16_bit(channels=3, height=24, width=32):
    rng = np.random.default_rng(0)
    return rng.integers(0, 65536, (height, width, channels), dtype=np.uint16)


def write_16_bit_png(path, pixels):
    import cv2

    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[pixels.shape[2]]
    path.write_bytes(cv2.imencode(".png", np.ascontiguousarray(pixels[..., order]))[1].tobytes())


def assert_pixels(path, pixels, tolerance=0):
    with Image.open(path) as image:
        found = np.atleast_3d(np.asarray(image)).astype(int)
    assert found.shape == pixels.shape
    assert np.abs(found - pixels).mean() <= tolerance


@pytest.mark.parametrize(("name", "tolerance"), [("a.jpg", 3), ("a.bmp", 0), ("a.webp", 0)])
def test_16_bit_input_for_an_8_bit_format_is_scaled_and_noted(tmp_path, name, tolerance):
    smooth = photo(64, 48).astype(np.uint16) * 257 + 13
    write_16_bit_png(tmp_path / name, smooth)
    restored = restore_file(identity, tmp_path / name, tmp_path / "out" / name)
    assert_pixels(tmp_path / "out" / name, np.rint(smooth / 257), tolerance)
    assert any("16 bits were scaled to 8" in note for note in restored.notes)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_png_keeps_its_values(tmp_path, channels):
    import cv2

    pixels = random_16_bit(channels)
    write_16_bit_png(tmp_path / "a.png", pixels)
    restore_file(identity, tmp_path / "a.png", tmp_path / "b.png")
    given, again = (cv2.imread(str(tmp_path / n), cv2.IMREAD_UNCHANGED) for n in ("a.png", "b.png"))
    assert again.dtype == np.uint16 and np.array_equal(given, again)


def transparent(path, mode="RGBA", form="PNG", **options):
    alpha = np.tile(np.arange(32, dtype=np.uint8) * 8, (24, 1))
    if form == "GIF":  # each pixel is opaque or fully transparent
        alpha = alpha // 128 * 255
    image = Image.fromarray(photo()).convert(mode[:-1])
    image.putalpha(Image.fromarray(alpha))
    image.save(path, form, **options)
    return np.asarray(image)


def test_transparency_is_refused_for_formats_without_alpha(tmp_path):
    for number, (mode, form, name) in enumerate(
        [
            ("RGBA", "PNG", "a.jpg"), ("LA", "PNG", "a.bmp"), ("RGBA", "WEBP", "a.jpg"),
            ("RGBA", "GIF", "b.jpg"), ("RGBA", "TIFF", "c.jpeg"), ("RGBA", "AVIF", "d.bmp"),
        ]
    ):  # fmt: skip
        path = tmp_path / f"{number}" / name
        path.parent.mkdir()
        transparent(path, mode, form)
        with pytest.raises(DataError, match="would lose its transparency"):
            restore_file(identity, path, tmp_path / "out" / name)
        assert not (tmp_path / "out" / name).exists()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_full_opacity_is_dropped_for_formats_without_alpha(tmp_path, mode):
    image = Image.fromarray(photo()).convert(mode[:-1])
    pixels = np.atleast_3d(np.asarray(image))
    image.putalpha(255)
    image.save(tmp_path / "a.bmp", "PNG")
    restored = restore_file(identity, tmp_path / "a.bmp", tmp_path / "b.bmp")
    assert_pixels(tmp_path / "b.bmp", pixels)
    assert any("opacity" in note for note in restored.notes)


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif"])
def test_transparency_is_kept_for_formats_with_alpha(tmp_path, name):
    pixels = transparent(tmp_path / name)
    restore_file(identity, tmp_path / name, tmp_path / "out" / name)
    assert_pixels(tmp_path / "out" / name, pixels)


def test_colours_of_transparent_pixels_are_kept_in_webp(tmp_path):
    pixels = transparent(tmp_path / "a.png")
    restore_file(identity, tmp_path / "a.png", tmp_path / "b.webp")
    assert_pixels(tmp_path / "b.webp", pixels)


@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("kind", [2, 3, 5, 6])
def test_deep_pnm_is_read_at_full_depth(tmp_path, bits, kind):
    values = random_16_bit(3 if kind in (3, 6) else 1) & (2**bits - 1)
    head = f"P{kind}\n# a camera's\n32 24\n{2**bits - 1}\n".encode()
    body = (
        " ".join(map(str, values.ravel())).encode() if kind < 5 else values.astype(">u2").tobytes()
    )
    (tmp_path / "a.pgm").write_bytes(head + body)
    restored = restore_file(identity, tmp_path / "a.pgm", tmp_path / "b.png")
    again = read_image(tmp_path / "b.png").pixels
    assert again.dtype == np.uint16
    assert np.array_equal(again, np.rint(values * (65535 / (2**bits - 1))))
    assert (f"{bits} bits were scaled to 16" in restored.notes) == (bits < 16)
    (tmp_path / "a.pgm").write_bytes(head + body[:-9])
    with pytest.raises(DataError, match="not a readable image"):
        read_image(tmp_path / "a.pgm")


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_jpeg_2000_keeps_its_depth(tmp_path, bits):
    imagecodecs = pytest.importorskip("imagecodecs")
    values = random_16_bit(3) & (2**bits - 1)
    values = values.astype(np.uint8) if bits == 8 else values
    coded = imagecodecs.jpeg2k_encode(values, level=0, reversible=True, bitspersample=bits)
    (tmp_path / "a.jp2").write_bytes(coded)
    restore_file(identity, tmp_path / "a.jp2", tmp_path / "b.png")
    again = read_image(tmp_path / "b.png").pixels
    assert np.array_equal(again, np.rint(values * (np.iinfo(again.dtype).max / (2**bits - 1))))


def test_a_16_bit_bitmap_is_read_with_5_bits_per_channel(tmp_path):
    head = struct.pack("<2sIHHI", b"BM", 54 + 8 * 4 * 2, 0, 0, 54)
    head += struct.pack("<IiiHHIIiiII", 40, 4, 8, 1, 16, 0, 64, 0, 0, 0, 0)
    (tmp_path / "a.bmp").write_bytes(head + struct.pack("<H", 0b11111 << 10) * 32)
    image = read_image(tmp_path / "a.bmp")
    assert image.pixels.dtype == np.uint8 and (image.pixels == (255, 0, 0)).all()


def camera_jpeg():
    """A rotated JPEG with EXIF; gives its bytes, and the start and length of the EXIF block."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0112], exif[0x0132] = "Maker", 6, "2020:01:02 03:04:05"
    exif[0x011A] = exif[0x011B] = TiffImagePlugin.IFDRational(300, 1)
    exif[0x8769] = {
        0x9003: "2020:01:02 03:04:05",
        0x829A: TiffImagePlugin.IFDRational(1, 125),
        0x9201: TiffImagePlugin.IFDRational(-3, 2),
        0x8827: 100,
        0xA434: "Lens",
    }
    exif[0x8825] = {1: "N", 2: (47.0, 22.0, 8.5), 3: "E", 4: (8.0, 33.0, 0.5)}
    buffer = io.BytesIO()
    Image.fromarray(photo()).save(buffer, "JPEG", quality=95, exif=exif, dpi=(300, 300))
    content = buffer.getvalue()
    start = content.index(b"Exif")
    return content, start, int.from_bytes(content[start - 2 : start], "big")


def test_changed_bytes_in_metadata_do_not_affect_the_pixels(tmp_path):
    content, start, length = camera_jpeg()
    with Image.open(io.BytesIO(content)) as image:
        expected = np.sort(np.asarray(image), axis=None)
    rng = np.random.default_rng(0)
    dropped = 0
    for _ in range(500):
        changed = bytearray(content)
        for position in rng.integers(start, start + length - 2, rng.integers(1, 4)):
            changed[position] = rng.integers(256)
        (tmp_path / "a.jpg").write_bytes(bytes(changed))
        restored = restore_file(identity, tmp_path / "a.jpg", tmp_path / "b.jpg")
        assert np.array_equal(np.sort(restored.pixels, axis=None), expected)
        dropped += any("EXIF" in note for note in restored.notes)
    assert dropped > 20


def test_intact_parts_of_damaged_metadata_are_kept(tmp_path):
    content, _, _ = camera_jpeg()
    position = content.index(b"2020:01:02")
    (tmp_path / "a.jpg").write_bytes(content[:position] + b"\xff" * 10 + content[position + 10 :])
    restore_file(identity, tmp_path / "a.jpg", tmp_path / "b.jpg")
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.getexif()[0x010F] == "Maker" and image.size == (24, 32)
        assert image.getexif().get_ifd(0x8825)[1] == "N"
        assert image.info["dpi"] == (300, 300)


@pytest.mark.parametrize(("tag", "value"), [(0x0110, object()), (0x0128, 2**70), (0x011A, "x")])
def test_only_metadata_values_that_cannot_be_written_are_dropped(tag, value):
    given = Image.Exif()
    given[0x010F], given[tag] = "Maker", value
    block, orientation, notes = descriptive_exif(given)
    kept = Image.Exif()
    kept.load(block)
    assert dict(kept) == {0x010F: "Maker"} and orientation == 1 and notes == (DAMAGED,)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".gif"])
@pytest.mark.parametrize("letter", ["a", "ü"])
def test_a_file_name_of_255_bytes_can_be_restored(tmp_path, suffix, letter):
    name = letter * ((255 - len(suffix)) // len(letter.encode())) + suffix
    Image.fromarray(photo(channels=1)[..., 0]).save(tmp_path / name)
    target = (tmp_path / "out" / name).with_suffix(".png" if suffix == ".gif" else suffix)
    restore_file(identity, tmp_path / name, target)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [target.name]


def test_a_file_that_does_not_read_back_is_not_written(tmp_path, monkeypatch):
    def wrong(path, image, form):
        Image.fromarray(image.pixels[::-1]).save(path, form.name)

    monkeypatch.setattr(encoding, "_encode", wrong)
    for name in ("a.png", "a.jpg", "a.tif", "a.webp", "a.bmp"):
        with pytest.raises(DataError, match=rf"{name} was not written.*other pixels"):
            write_image(tmp_path / name, UserImage(photo(64, 64)))
    for encode, problem in (
        (lambda path, *_: path.write_bytes(b"nothing"), "not a readable image"),
        (lambda path, *_: Image.fromarray(photo(9, 9)).save(path), r"\(9, 9, 3\)"),
    ):
        monkeypatch.setattr(encoding, "_encode", encode)
        with pytest.raises(DataError, match=problem):
            write_image(tmp_path / "a.png", UserImage(photo(64, 64)))
    assert not list(tmp_path.iterdir())


def test_noise_passes_the_read_back_check_of_lossy_formats(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (65, 63, 3), dtype=np.uint8)
    for name in ("a.jpg", "a.avif"):
        write_image(tmp_path / name, UserImage(noise))
        assert (tmp_path / name).exists()


def test_an_encoder_error_is_one_line(tmp_path):
    wide = UserImage(np.zeros((1, 70000, 3), np.uint8))
    for name in ("a.jpg", "a.webp"):
        with pytest.raises(DataError, match=rf"{name} cannot be written"):
            write_image(tmp_path / name, wide)
    with pytest.raises(DataError, match="not a format that can be written"):
        write_image(tmp_path / "r", wide)


def test_every_good_file_in_a_folder_of_odd_files_is_restored(tmp_path, tiny, dgunet):
    """Every good file is written, every bad one gives one error line, and the status is 1."""
    folder = tmp_path / "in"
    folder.mkdir()
    good, bad = {}, {}
    # Good files, with their notes.
    Image.fromarray(photo()).save(folder / "plain.png")
    good["plain.png"] = ""
    write_16_bit_png(folder / "scan.jpg", random_16_bit())
    good["scan.jpg"] = "16 bits were scaled to 8"
    tifffile.imwrite(folder / "turned.tif", photo(), extratags=[(274, 3, 1, 6, True)])
    good["turned.tif"] = ""
    tifffile.imwrite(folder / "planes.tif", np.moveaxis(photo(), 2, 0).copy(), photometric="rgb",
                     planarconfig="separate")  # fmt: skip
    good["planes.tif"] = ""
    Image.fromarray(photo()).convert("CMYK").save(folder / "inks.tif")
    good["inks.tif"] = "CMYK"
    tifffile.imwrite(folder / "big.tif", photo(), photometric="rgb", bigtiff=True, byteorder=">")
    good["big.tif"] = ""
    content, start, _ = camera_jpeg()
    (folder / "exif.jpg").write_bytes(
        content[: start + 6] + bytes(255 - b for b in content[start + 6 : start + 60])
        + content[start + 60 :]
    )  # fmt: skip
    good["exif.jpg"] = "damaged EXIF"
    Image.fromarray(photo()).save(folder / f"{'n' * 236}.png")
    good[f"{'n' * 236}.png"] = ""
    Image.fromarray(photo()).convert("P").save(folder / "p.gif")
    Image.fromarray(photo()).save(folder / "p.png")
    good |= {"p.gif.png": "", "p.png": ""}
    (folder / "a.pgm").write_bytes(b"P5 4 4 1023\n" + b"\1\2" * 16)
    good["a.png"] = "10 bits"
    # Bad files, with the reason.
    transparent(folder / "clear.jpg")
    bad["clear.jpg"] = "transparency"
    transparent(folder / "clear.bmp", "LA")
    bad["clear.bmp"] = "transparency"
    (folder / "broken.png").write_bytes(b"\x89PNG not really")
    bad["broken.png"] = "not a readable image"
    (folder / "empty.jpg").write_bytes(b"")
    bad["empty.jpg"] = "not a readable image"
    tifffile.imwrite(folder / "floats.tif", photo().astype(np.float32), photometric="rgb")
    bad["floats.tif"] = "floating-point"
    frames = [Image.fromarray(photo()), Image.fromarray(photo()[::-1])]
    for name in ("moving.gif", "moving.png", "moving.webp"):
        frames[0].save(folder / name, save_all=True, append_images=frames[1:])
        bad[name] = "2 frames"
    (folder / "moving.png").rename(folder / "moving2.png")
    bad["moving2.png"] = bad.pop("moving.png")
    os.mkfifo(folder / "pipe.png")
    bad["pipe.png"] = "not a regular file"
    (folder / "gone.png").symlink_to(folder / "nowhere")
    bad["gone.png"] = "does not exist"
    bad_name = os.fsencode(folder) + b"/\xff.png"
    with open(bad_name, "wb") as handle:  # noqa: PTH123 - a name that is no text
        handle.write(b"none")
    bad["?.png"] = "not a readable image"
    # Ignored files.
    for name in ("._plain.png", ".DS_Store", "Thumbs.db", "notes.txt"):
        (folder / name).write_bytes(b"?")
    result = dgunet("restore", folder, "--checkpoint", tiny, "--out", tmp_path / "out")
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(good)
    errors = [line for line in result.stderr.splitlines() if "error" in line]
    assert len(errors) == len(bad)
    for name, reason in bad.items():
        (line,) = (line for line in errors if f"/{name}" in line)
        assert reason in line
    for name, note in good.items():
        assert note in result.stdout and f"{name} (" in result.stdout
    assert f"{len(bad)} of {len(good) + len(bad)} images were not restored" in result.stderr
    assert "4 files ignored (3 hidden, 1 not images)" in result.stdout


@pytest.mark.parametrize("where", ["file", "file/below"])
def test_restoring_into_a_file_gives_a_one_line_error(tmp_path, tiny, dgunet, where):
    Image.fromarray(photo()).save(tmp_path / "a.png")
    (tmp_path / "file").write_text("mine")
    result = dgunet("restore", tmp_path / "a.png", "--checkpoint", tiny, "--out", tmp_path / where)
    assert result.returncode == 1 and "is not a folder" in result.stderr
    assert result.stderr.count("\n") == 1 and (tmp_path / "file").read_text() == "mine"
