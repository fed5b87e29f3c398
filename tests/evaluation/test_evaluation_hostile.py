"""Untrusted results and images: false array headers, pipes and unsafe names."""

import os

import numpy as np
import pytest
from PIL import Image

from dgunet.evaluation.dnd import bundle_boxes, write_box
from dgunet.evaluation.protocols import protocol
from dgunet.evaluation.scoring import score_results
from dgunet.imaging.npy_files import read_npy
from dgunet.system.errors import DataError, EvaluationError
from dgunet.user_images.restoring import find_images, read_image


def npy(path, header, content=b"", version=(1, 0)):
    text = header.encode().ljust(117) + b"\n"
    path.write_bytes(b"\x93NUMPY" + bytes(version) + len(text).to_bytes(2, "little") + text)
    with path.open("ab") as handle:
        handle.write(content)


CLAIM = "{'descr': '<f8', 'fortran_order': False, 'shape': (%s,), }"


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (CLAIM % "51000000000000, 1", "408,000,000,000,000 bytes, but 0 follow"),
        (CLAIM % "-1, 3", "but 0 follow"),
        (CLAIM % "9" * 3, "is not a NumPy array"),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "holds objects"),
        ("{'descr': '<f8'}", "is not a NumPy array"),
        ("(" * 100, "is not a NumPy array"),
        ("__import__('os').system('true')", "is not a NumPy array"),
    ],
)
def test_a_header_that_claims_more_than_the_file_holds_is_refused(header, message, tmp_path):
    npy(tmp_path / "a.npy", header)
    with pytest.raises(DataError, match=message) as caught:
        read_npy(tmp_path / "a.npy")
    assert "\n" not in str(caught.value)


def test_valid_arrays_are_read_unchanged(tmp_path):
    arrays = [np.arange(6.0).reshape(1, 2, 3), np.zeros((0, 3)), np.float32(3), np.ones((2, 2)).T]
    for given in arrays:
        np.save(tmp_path / "a.npy", given)
        read = read_npy(tmp_path / "a.npy")
        assert np.array_equal(read, given)
        assert read.dtype == given.dtype
    np.savez(tmp_path / "b.npz", a=given)
    with pytest.raises(DataError, match="is not a NumPy array"):
        read_npy(tmp_path / "b.npz")


def scored(tmp_path, **files):
    for half in ("a", "b"):
        (tmp_path / half).mkdir(exist_ok=True)
        Image.new("RGB", (24, 24)).save(tmp_path / half / "1.png")
    return list(score_results(tmp_path / "a", tmp_path / "b", protocol("rain-y")))


def test_results_that_are_no_regular_files_or_arrays_are_refused(tmp_path):
    assert len(scored(tmp_path)) == 1
    os.mkfifo(tmp_path / "a/9.png")
    with pytest.raises(EvaluationError, match=r"a/9\.png is not a regular file"):
        scored(tmp_path)
    (tmp_path / "a/9.png").unlink()
    npy(tmp_path / "a/2.npy", CLAIM % "51000000000000, 1")
    Image.new("RGB", (24, 24)).save(tmp_path / "b/2.png")
    with pytest.raises(EvaluationError, match=r"2\.npy is not a NumPy array"):
        scored(tmp_path)


def test_results_with_unusual_names_are_scored_or_refused(tmp_path):
    scored(tmp_path)
    for half in ("a", "b"):
        Image.new("RGB", (24, 24)).save(tmp_path / half / "²5.png")
    assert [row.id for row in scored(tmp_path)] == ["1", "²5"]
    (tmp_path / os.fsdecode(b"a/\xff.png")).write_bytes(b"")
    with pytest.raises(EvaluationError, match="is not UTF-8"):
        scored(tmp_path)


def test_user_images_that_are_no_regular_files_are_refused(tmp_path):
    os.mkfifo(tmp_path / "9.png")
    with pytest.raises(DataError, match=r"9\.png is not a regular file"):
        read_image(*find_images([str(tmp_path)]))
    odd = tmp_path / os.fsdecode(b"\xff.png")
    Image.new("RGB", (3, 2)).save(tmp_path / "good.png")
    (tmp_path / "good.png").rename(odd)
    assert odd in find_images([str(tmp_path)])
    assert read_image(odd).pixels.shape == (2, 3, 3)


def test_formats_that_run_external_programs_are_not_read(tmp_path):
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(DataError, match="not a readable image"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("record", ["../0001_01", "/tmp/x", "0001_²5", "0001", "0001_01\n", "a\0b"])
def test_a_dnd_record_cannot_name_another_file(record, tmp_path):
    with pytest.raises(DataError, match="is not the name of a DND box"):
        write_box(tmp_path / "boxes", record, np.zeros((2, 2, 3), np.float32))
    with pytest.raises(DataError, match="is not the name of a DND box"):
        bundle_boxes(tmp_path / "boxes", tmp_path / "out", [record])
    assert not list(tmp_path.iterdir())
