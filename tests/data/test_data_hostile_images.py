"""Untrusted images and arrays: bounded, checked by content, one-line errors with the file."""

import os
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest
import scipy.io
from data_hostile import claiming, png
from PIL import Image

from dgunet.data.acquisition.importing import import_dataset
from dgunet.data.check.dataset_check import check_dataset
from dgunet.data.readers.images import FRAMES, FileImage, read_rgb
from dgunet.data.readers.pairing import images_in, natural
from dgunet.data.store.prepare import prepare_dataset
from dgunet.data.store.writer import load_written
from dgunet.system.errors import DataError
from dgunet.system.leftovers import leftovers_below


@pytest.fixture
def set11(tmp_path):
    """A root whose Set11 has one good image, and the folder of Set11."""
    folder = tmp_path / "root" / "test" / "Set11"
    folder.mkdir(parents=True)
    (folder / "1.png").write_bytes(png())
    return tmp_path / "root", folder


def prepared(root, tmp_path, name="Set11"):
    return prepare_dataset(name, root, tmp_path / "store", profile="sample")


def refused_everywhere(root, tmp_path, message):
    """Check that ``data prepare``, ``check`` and ``import`` report the error in one line."""
    with pytest.raises(DataError, match=message) as caught:
        prepared(root, tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "store").exists()
    errors = [f.text for f in check_dataset("Set11", root).findings if f.level == "error"]
    assert any(caught.value.message in text for text in errors), errors
    with pytest.raises(DataError, match=message):
        import_dataset("Set11", root, tmp_path / "imported")
    assert not (tmp_path / "imported" / "test").exists()


@pytest.mark.parametrize("side", [20_000, 100_000])
def test_a_header_that_claims_too_many_pixels_is_refused(side, set11, tmp_path):
    root, folder = set11
    (folder / "2.png").write_bytes(claiming(side, side))
    refused_everywhere(
        root, tmp_path, rf"2\.png is too large: {side * side:,} pixels, at most .*DGUNET_MAX_PIXELS"
    )


def test_the_pixel_limit_can_be_raised_and_lowered(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    path = tmp_path / "a.png"
    path.write_bytes(claiming(20_000, 20_000))
    monkeypatch.setenv("DGUNET_MAX_PIXELS", "400000000")
    assert FileImage(path).shape() == (20_000, 20_000, 3)
    with pytest.raises(DataError, match=r"a\.png is truncated or damaged"):
        read_rgb(path)
    path.write_bytes(png((16, 16)))
    monkeypatch.setenv("DGUNET_MAX_PIXELS", "200")
    with pytest.raises(DataError, match=r"256 pixels, at most 200 are read"):
        read_rgb(path)


def test_large_images_below_the_limit_give_no_warning(tmp_path):
    (tmp_path / "a.png").write_bytes(claiming(10_000, 12_000))
    script = (
        "import sys; from pathlib import Path; from dgunet.data.readers.images import FileImage;"
        "print(FileImage(Path(sys.argv[1])).shape())"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "a.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("(12000, 10000, 3)\n", "")


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "dead link"])
def test_files_that_are_not_regular_are_refused_without_waiting(kind, set11, tmp_path):
    root, folder = set11
    path = folder / "9.png"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("nothing")
    message = r"9\.png does not exist" if kind == "dead link" else r"9\.png is not a regular file"
    with pytest.raises(DataError, match=message):
        prepared(root, tmp_path)
    report = check_dataset("Set11", root)
    assert not report.healthy
    with pytest.raises(DataError, match=r"9\.png is"):
        import_dataset("Set11", root, tmp_path / "imported")


def test_names_that_are_not_utf_8_are_refused(set11, tmp_path):
    root, folder = set11
    (folder / os.fsdecode(b"\xff.png")).write_bytes(png())
    refused_everywhere(root, tmp_path, r"Set11 holds '\\udcff\.png', which is not UTF-8")


@pytest.mark.parametrize("name", ["a\nb", "a\tb", "a\x7fb"])
def test_names_with_control_characters_are_refused(name, set11, tmp_path):
    root, folder = set11
    (folder / f"{name}.png").write_bytes(png())
    refused_everywhere(root, tmp_path, "a control character")


def test_unicode_digits_are_sorted_as_text(set11, tmp_path):
    root, folder = set11
    for name in ("²5", "10", "2", "٣"):
        (folder / f"{name}.png").write_bytes(png())
    assert list(images_in(folder)) == ["1", "2", "10", "²5", "٣"]
    assert prepared(root, tmp_path).count == 5
    assert natural("a2b10") == [(0, 0, "a"), (1, 2, ""), (0, 0, "b"), (1, 10, ""), (0, 0, "")]


# Images with several frames.


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_animated_images_are_refused_with_their_number_of_frames(suffix, set11, tmp_path):
    root, folder = set11
    frames = [Image.new("RGB", (16, 16), (n, 0, 0)) for n in range(3)]
    frames[0].save(folder / f"2.{suffix}", save_all=True, append_images=frames[1:])
    refused_everywhere(root, tmp_path, rf"2\.{suffix} has 3 frames")


def test_the_frames_of_a_tiff_are_counted_only_up_to_the_limit(tmp_path):
    frames = [Image.new("L", (1, 1), n % 256) for n in range(FRAMES + 20)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match=f"has more than {FRAMES} frames"):
        read_rgb(tmp_path / "a.tif")


def test_a_gif_named_as_a_png_is_refused(set11, tmp_path):
    root, folder = set11
    Image.new("L", (16, 16)).save(folder / "2.png", "GIF")
    refused_everywhere(root, tmp_path, r"2\.png is not a readable image")


@pytest.mark.parametrize("seed", range(150))
def test_changed_bytes_in_an_image_raise_only_data_errors(seed, tmp_path):
    random = np.random.default_rng(seed)
    suffix = ["png", "jpg", "tif", "bmp"][seed % 4]
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(random.integers(0, 256, (24, 24, 3), np.uint8)).save(path)
    content = bytearray(path.read_bytes())
    for at in random.integers(0, min(len(content), 400), 6):
        content[at] = random.integers(0, 256)
    path.write_bytes(content)
    try:
        assert read_rgb(path).dtype == np.uint8
        FileImage(path).kind()
    except DataError as error:
        assert str(path) in str(error)


# MATLAB files.


@pytest.fixture
def dnd(editable_copy):
    """A root with the sample of DND, and the folder of DND."""
    root = editable_copy("test/dnd_2017")
    return root, root / "test/dnd_2017"


@pytest.mark.parametrize(
    ("value", "reported"),
    [
        (np.nan, "1 NaN or infinite values"),
        (np.inf, "1 NaN or infinite values"),
        (-np.inf, "1 NaN or infinite values"),
        (300.0, r"spans \[.*, 300\]"),
        (-5.0, r"spans \[-5, "),
        (1.001, r"spans \[.*, 1\.001\]"),
    ],
)
def test_dnd_pixels_outside_0_to_1_are_refused(value, reported, dnd, tmp_path):
    root, folder = dnd
    with h5py.File(folder / "images_srgb/0001.mat", "r+") as handle:
        handle["InoisySRGB"][0, 3, 3] = value
    with pytest.raises(DataError, match=rf"0001\.mat: .*image 0001 .*{reported}.* in \[0, 1\]"):
        prepared(root, tmp_path, "DND")
    assert any("0001.mat" in f.text for f in check_dataset("DND", root).findings)


def replaced(path, name, make):
    with h5py.File(path, "r+") as handle:
        del handle[name]
        make(handle)


@pytest.mark.parametrize(
    ("make", "reported"),
    [
        (lambda h: h.__setitem__("InoisySRGB", h5py.ExternalLink("other.mat", "x")), "is a link"),
        (
            lambda h: h.create_dataset(
                "InoisySRGB", (3, 4, 4), np.float32, external=[("/etc/hostname", 0, 192)]
            ),
            "from another file",
        ),
        (lambda h: h.create_group("InoisySRGB"), "0001.mat is not"),
        (
            lambda h: h.create_dataset("InoisySRGB", (3, 1 << 20, 1 << 20), "f4", chunks=True),
            "1,099,511,627,776 pixels, at most .*DGUNET_MAX_PIXELS",
        ),
        (lambda h: h.create_dataset("InoisySRGB", (4, 4, 4), "f4"), r"float32 \(4, 4, 4\)"),
    ],
    ids=["external link", "external file", "group", "huge", "shape"],
)
def test_an_invalid_dnd_file_is_refused(make, reported, dnd, tmp_path):
    root, folder = dnd
    replaced(folder / "images_srgb/0001.mat", "InoisySRGB", make)
    with pytest.raises(DataError, match=reported) as caught:
        prepared(root, tmp_path, "DND")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("boxes", [np.zeros((3, 2)), np.full((4, 2), np.nan), np.full((4, 1), 0.5)])
def test_invalid_dnd_boxes_are_refused(boxes, dnd, tmp_path):
    root, folder = dnd
    with h5py.File(folder / "info.mat", "r+") as handle:
        reference = handle["info"]["boundingboxes"][0, 0]
        name = handle[reference].name
        del handle[name]
        handle[name] = boxes
        handle["info"]["boundingboxes"][0, 0] = handle[name].ref
    with pytest.raises(DataError, match=r"info\.mat is not DND's index"):
        prepared(root, tmp_path, "DND")


def test_an_empty_sidd_file_is_refused(editable_copy, tmp_path):
    root = editable_copy("test/SIDD")
    for name in ("ValidationNoisyBlocksSrgb", "ValidationGtBlocksSrgb"):
        empty = np.zeros((0, 0, 8, 8, 3), np.uint8)
        scipy.io.savemat(root / f"test/SIDD/{name}.mat", {name: empty})
    with pytest.raises(DataError, match=r"\.mat: Validation.* is uint8 \(0, 0"):
        prepared(root, tmp_path, "SIDD")


# Leftovers of an interrupted preparation.


@pytest.mark.parametrize("note", [b"", b"[]", b"{", b"\xff", b'{"shard": 3}', b'{"shard": {}}'])
def test_a_damaged_note_of_a_finished_shard_is_ignored(note, tmp_path):
    (tmp_path / "pairs-00000.json").write_bytes(note)
    assert load_written(tmp_path / "pairs-00000.json") is None


@pytest.mark.parametrize("note", [b"\xff\xfe", b"another"])
def test_a_damaged_identity_file_restarts_the_preparation(note, set11, tmp_path):
    root, _ = set11
    (tmp_path / ".store.work").mkdir()
    (tmp_path / ".store.work/identity").write_bytes(note)
    assert prepared(root, tmp_path).count == 1
    assert not (tmp_path / ".store.work").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from dgunet.data.store import prepare

def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

prepare.write_manifest = kill
prepare.prepare_dataset("Set11", Path(sys.argv[1]), Path(sys.argv[2]), profile="sample")
"""


def test_leftovers_of_a_killed_preparation_are_removed_by_the_next(set11, tmp_path):
    root, _ = set11
    command = [sys.executable, "-c", KILLED, str(root), str(tmp_path / "store")]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert list(leftovers_below(tmp_path))
    prepared(root, tmp_path)
    assert list(leftovers_below(tmp_path)) == []
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"root", "store", ".store.lock"}
