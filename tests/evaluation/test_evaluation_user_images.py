"""User images: formats, depth, orientation, transparency, names and invalid files."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from evaluation_stand_ins import Smooth, pair
from PIL import Image, ImageCms

from dgunet.evaluation import memory
from dgunet.evaluation.restoration import identity
from dgunet.network import DGUNet, preset
from dgunet.system.errors import DataError, EvaluationError
from dgunet.user_images import restoring
from dgunet.user_images.restoring import (
    UserImage,
    find_images,
    output_paths,
    read_image,
    restore_user_image,
    write_image,
)

ORIENTATION = 0x0112


def photo(height=17, width=23, channels=3):
    return pair(1, height=height, width=width, channels=channels)[1]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".webp", ".ppm"])
def test_lossless_formats_keep_their_pixels(tmp_path, suffix):
    Image.fromarray(photo()).save(tmp_path / f"a{suffix}", lossless=True)
    read = read_image(tmp_path / f"a{suffix}")
    kept = ".png" if suffix == ".ppm" else suffix
    write_image(tmp_path / f"b{kept}", restore_user_image(identity, read, "a"))
    assert np.array_equal(np.asarray(Image.open(tmp_path / f"b{kept}")), photo())


@pytest.mark.parametrize("suffix", [".jpg", ".avif"])
def test_lossy_formats_stay_close_to_the_original(tmp_path, suffix):
    Image.fromarray(photo(64, 64)).save(tmp_path / "a.jpg", quality=95)
    read = read_image(tmp_path / "a.jpg")
    write_image(tmp_path / f"b{suffix}", read)
    copy = np.asarray(Image.open(tmp_path / f"b{suffix}"), int)
    assert np.abs(copy - read.pixels).mean() < 2


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_images_keep_their_values(tmp_path, suffix, channels):
    rng = np.random.default_rng(0)
    deep = rng.integers(0, 65536, (9, 14, channels), dtype=np.uint16)
    assert cv2.imwrite(str(tmp_path / f"a{suffix}"), deep)
    read = read_image(tmp_path / f"a{suffix}")
    assert read.pixels.dtype == np.uint16
    write_image(tmp_path / f"b{suffix}", restore_user_image(identity, read, "a"))
    again = cv2.imread(str(tmp_path / f"b{suffix}"), cv2.IMREAD_UNCHANGED)
    if channels == 1:
        # Averaging three equal channels in float32 changes at most one of 65,536 levels.
        assert np.abs(again.astype(int) - deep[..., 0]).max() <= 1
    else:
        assert np.array_equal(again, deep)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("deep", [False, True])
def test_orientation_is_applied_once_and_other_metadata_kept(tmp_path, orientation, deep):
    upright = photo()
    rows = np.arange(upright.size).reshape(upright.shape) % 251
    upright = rows.astype(np.uint8)
    # The inverse of the transformation that each orientation stands for.
    inverse = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}[orientation]
    turns = {
        1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
        5: lambda a: np.swapaxes(a, 0, 1), 6: lambda a: np.rot90(a, 3),
        7: lambda a: np.rot90(np.swapaxes(a, 0, 1), 2), 8: np.rot90,
    }  # fmt: skip
    stored = np.ascontiguousarray(turns[inverse](upright))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[0x010F] = "Maker"
    path = tmp_path / "a.png"
    Image.fromarray(stored).save(path, exif=exif)
    if deep:
        block = exif.tobytes().removeprefix(b"Exif\x00\x00")
        metadata = (np.array([int(cv2.IMAGE_METADATA_EXIF)], np.int32),)
        ok, encoded = cv2.imencodeWithMetadata(
            ".png",
            stored.astype(np.uint16)[..., ::-1] * 257,
            list(metadata[0]),
            [np.frombuffer(block, np.uint8)],
        )
        assert ok
        path.write_bytes(encoded.tobytes())
    read = read_image(path)
    assert np.array_equal(read.pixels, upright.astype(np.uint16) * 257 if deep else upright)
    write_image(tmp_path / "b.png", read)
    with Image.open(tmp_path / "b.png") as image:
        assert image.getexif().get(ORIENTATION, 1) == 1
        assert np.array_equal(read_image(tmp_path / "b.png").pixels, read.pixels)
        assert image.getexif()[0x010F] == "Maker"


def test_transparency_and_colour_profile_are_kept(tmp_path):
    rgba = np.dstack([photo(), np.arange(17 * 23, dtype=np.uint16).reshape(17, 23) % 256])
    profile = b"a colour profile"
    Image.fromarray(rgba.astype(np.uint8)).save(tmp_path / "a.png", icc_profile=profile)
    restored = restore_user_image(Smooth(), read_image(tmp_path / "a.png"), "a")
    write_image(tmp_path / "b.png", restored)
    with Image.open(tmp_path / "b.png") as image:
        assert image.info["icc_profile"] == profile
        again = np.asarray(image)
    assert np.array_equal(again[..., 3], rgba[..., 3])
    assert not np.array_equal(again[..., :3], rgba[..., :3])


def test_16_bit_images_keep_their_colour_profile(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    write_image(tmp_path / "a.png", UserImage(photo().astype(np.uint16) * 257, icc=profile))
    assert read_image(tmp_path / "a.png").icc == profile
    write_image(tmp_path / "b.png", UserImage(photo().astype(np.uint16), icc=b"damaged"))
    assert read_image(tmp_path / "b.png").icc is None


def test_a_multi_picture_jpeg_is_read_as_its_first_frame(tmp_path):
    """Phones store a preview or a gain map as a further frame."""
    frames = [Image.fromarray(photo(64, 48)), Image.fromarray(photo(32, 24))]
    frames[0].save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=frames[1:])
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.n_frames == 2
    assert read_image(tmp_path / "a.jpg").pixels.shape == (64, 48, 3)


def test_a_profile_of_another_colour_space_is_dropped(tmp_path):
    Image.fromarray(photo()).convert("CMYK").save(tmp_path / "a.tif", icc_profile=b"of inks")
    assert read_image(tmp_path / "a.tif").icc is None
    coloured = UserImage(photo(), icc=b"of three colours")
    assert restore_user_image(identity, coloured, "a").icc == coloured.icc
    assert restore_user_image(identity, coloured, "a", channels=1).icc is None


def test_an_image_over_the_pixel_limit_is_refused_before_decoding(tmp_path, monkeypatch):
    Image.fromarray(photo()).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DataError, match=r"a\.png is too large"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("mode", ["P", "CMYK", "1", "LA", "L"])
def test_other_colour_modes_are_converted_to_rgb_or_grey(tmp_path, mode):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.fromarray(photo()).convert(mode).save(path)
    read = read_image(path)
    assert read.pixels.shape[2] == (3 if mode in ("P", "CMYK") else 1)
    assert (read.alpha is not None) == (mode == "LA")


def test_grey_stays_grey_through_a_colour_network():
    grey = photo(channels=1)
    restored = restore_user_image(identity, UserImage(grey), "a")
    assert np.array_equal(restored.pixels, grey)


def test_colour_is_converted_to_grey_for_a_grey_network():
    restored = restore_user_image(identity, UserImage(photo()), "a", channels=1)
    luma = photo() @ np.array([0.299, 0.587, 0.114])
    assert restored.pixels.shape == (17, 23, 1)
    assert np.abs(restored.pixels[..., 0] - luma).max() <= 0.51


def test_damaged_floating_point_and_animated_images_are_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG not really")
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "b.tif")
    frames = [Image.fromarray(photo()), Image.fromarray(photo()[::-1])]
    frames[0].save(tmp_path / "c.gif", save_all=True, append_images=frames[1:])
    whole = tmp_path / "d.png"
    Image.fromarray(photo(64, 64)).save(whole)
    whole.write_bytes(whole.read_bytes()[:-900])
    for name, message in (
        ("a.png", "not a readable image"),
        ("b.tif", "32-bit"),
        ("c.gif", "2 frames"),
        ("d.png", "not a readable image"),
        ("e.png", "does not exist"),
    ):
        with pytest.raises(DataError, match=message):
            read_image(tmp_path / name)


def test_an_image_too_large_for_memory_is_restored_in_strips_or_refused(monkeypatch):
    network = DGUNet(preset("derain", n_feat=8, scale=4, stages=3)).eval()
    image = UserImage(photo(200, 23))
    whole = restore_user_image(network, image, "a.png")
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1000)
    monkeypatch.setattr(restoring, "bytes_left", lambda limit, device: limit)
    strips = restore_user_image(network, image, "a.png", budget=10**6)
    assert np.abs(strips.pixels.astype(int) - whole.pixels).max() <= 1
    assert strips.notes == ("restored in 13 strips: exact, for less memory",)
    with pytest.raises(EvaluationError, match=r"a\.png: .*--memory"):
        restore_user_image(network, image, "a.png", budget=10**5)
    with pytest.raises(EvaluationError, match=r"a\.png: .*cannot be run in strips: "):
        restore_user_image(Smooth(), image, "a.png", budget=10**5)


def test_files_folders_and_patterns_are_found_once(tmp_path):
    for name in ("b.png", "a.JPG", "note.txt"):
        (tmp_path / name).write_bytes(b"")
    folder = [tmp_path / "a.JPG", tmp_path / "b.png"]
    assert list(find_images([str(tmp_path)])) == folder
    assert list(find_images([str(tmp_path / "b*"), str(tmp_path)])) == folder[::-1]
    for nothing in (tmp_path / "*.gif", tmp_path / "c.png"):
        with pytest.raises(DataError, match="names no image"):
            find_images([str(nothing)])


def test_folders_are_searched_with_their_subfolders(tmp_path):
    album = tmp_path / "album"
    names = ["a.png", "b/a.png", "b/c/a.png", ".hidden/a.png", "b/notes.txt", "out/b/a.png"]
    for name in (*names, "../elsewhere/a.png"):
        (album / name).parent.mkdir(parents=True, exist_ok=True)
        (album / name).write_bytes(b"")
    (album / "linked").symlink_to(tmp_path / "elsewhere")
    notes = []
    found = find_images([str(album)], notes.append, album / "out")
    assert found == {album / name: Path(name) for name in names[:3]}
    assert notes == [
        f"{album}: 2 files ignored (1 hidden, 1 not images)",
        f"{album / 'linked'}: a link to a folder, not searched; to restore its images, give it too",
    ]
    out = album / "out"
    assert output_paths(found, out, force=True) == [out / name for name in names[:3]]
    assert find_images([str(album / "b" / "a.png")]) == {album / "b" / "a.png": Path("a.png")}


@pytest.mark.parametrize(("options", "parts"), [({}, 3), ({"self_ensemble": True}, 24)])
def test_the_part_that_is_done_is_told_after_every_stage(options, parts):
    network = DGUNet(preset("derain", n_feat=8, scale=4, stages=3)).eval()
    told = []
    image = UserImage(np.zeros((40, 100, 3), np.uint8))
    restore_user_image(network, image, "a.png", observe=told.append, **options)
    assert told == pytest.approx([(1 + n) / parts for n in range(parts)])
    assert not any(module._forward_hooks for module in network.modules())


def named(*paths):
    """Images that were given themselves, not found in a folder."""
    return {path: Path(path.name) for path in paths}


def test_outputs_never_overwrite_or_collide(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    source = tmp_path / "a.gif"
    source.write_bytes(b"new")
    assert output_paths(named(source), out, force=False) == [out / "a.png"]
    (out / "a.png").write_bytes(b"old")
    with pytest.raises(DataError, match="--force"):
        output_paths(named(source), out, force=False)
    assert output_paths(named(source), out, force=True) == [out / "a.png"]
    with pytest.raises(DataError, match="would both become"):
        output_paths(named(source, tmp_path / "sub" / "a.gif"), out, force=True)
    with pytest.raises(DataError, match="input image itself"):
        output_paths(named(out / "a.png"), out, force=True)
