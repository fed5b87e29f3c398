"""Different releases of one dataset are distinguished, and a wrong one is reported."""

import shutil

import pytest
from data_stores import with_release
from PIL import Image

from dgunet.data.catalogue.entries import CATALOGUE, dataset
from dgunet.data.check.dataset_check import check_dataset
from dgunet.data.readers.folder_layouts import read_pairs
from dgunet.data.store import releases
from dgunet.data.store.releases import (
    ReleaseMeasurements,
    measure_quickly,
    partly_known,
    release_doubts,
    release_name,
)
from dgunet.system.errors import DataError


def warnings(report):
    return [f.text for f in report.findings if f.level == "warning" and "published" not in f.text]


@pytest.mark.parametrize("name", ["GoPro", "GoPro-train"])
def test_blur_averaged_in_linear_light_is_reported_as_another_release(name, sample_root, tmp_path):
    half = "train" if name == "GoPro-train" else "test"
    source = sample_root / half / "GOPRO_Large" / half
    for release in ("blur", "blur_gamma"):
        for sequence in source.iterdir():
            for folder, copy in ((release, "input"), ("sharp", "target")):
                target = tmp_path / release / "GoPro" / half / copy
                target.mkdir(parents=True, exist_ok=True)
                for path in (sequence / folder).iterdir():
                    shutil.copyfile(path, target / f"{sequence.name}-{path.name}")
    assert warnings(check_dataset(name, tmp_path / "blur")) == []
    (text,) = warnings(check_dataset(name, tmp_path / "blur_gamma"))
    assert "grey levels brighter than their targets, in the benchmark +0.00" in text
    assert text.endswith("brighter inputs are blur_gamma. Use blur.")


def test_the_sidd_benchmark_is_not_accepted_as_its_validation_set(sample_root, tmp_path):
    (tmp_path / "SIDD").mkdir()
    noisy = sample_root / "test/SIDD/ValidationNoisyBlocksSrgb.mat"
    shutil.copyfile(noisy, tmp_path / "SIDD/BenchmarkNoisyBlocksSrgb.mat")
    with pytest.raises(
        DataError, match=r"is SIDD's benchmark.* Download ValidationNoisyBlocksSrgb"
    ):
        read_pairs(dataset("SIDD"), tmp_path)


def test_copies_cropped_to_another_size_are_reported():
    info = CATALOGUE["BSD68"]
    whole = ReleaseMeasurements(68, "0" * 64, {"481x321": 60, "321x481": 8})
    assert release_doubts(info, whole) == ["its pixels differ from the known release"]
    cropped = ReleaseMeasurements(68, "0" * 64, {"480x288": 60, "288x480": 8})
    assert release_doubts(info, cropped)[0] == (
        "another release: 68 pairs are not 481x321 or 321x481 (480x288, 288x480)"
    )
    assert release_doubts(info, ReleaseMeasurements(3, "0" * 64, {"96x96": 3})) == [], (
        "the sample has other sizes"
    )


def test_a_known_release_raises_no_doubt():
    info = CATALOGUE["Rain100H"]
    seen = ReleaseMeasurements(100, info.published_release.digest, {"1x1": 100}, input_psnr=99.0)
    assert release_name(info, seen) == info.published_release.name
    assert release_doubts(info, seen) == []
    same_quality = ReleaseMeasurements(100, "0" * 64, {}, input_psnr=13.56)
    assert release_doubts(info, same_quality) == ["its pixels differ from the known release"]


@pytest.fixture
def known(sample_root, monkeypatch):
    """Rain100H with the sample as its known release, image by image."""
    info = CATALOGUE["Rain100H"]
    pixels = dict(measure_quickly(info, read_pairs(info, sample_root)).pixels)
    facts = {"pairs": 3, "digest": "0" * 64, "name": "the three pairs", "input_psnr": None}
    entry = with_release(info, **facts)
    monkeypatch.setitem(CATALOGUE, "Rain100H", entry)
    monkeypatch.setattr(releases, "known_pixels", lambda name: pixels)


@pytest.mark.usefixtures("known")
def test_an_image_that_differs_from_the_known_release_is_reported(editable_copy):
    root = editable_copy("test/Rain100H")
    report = check_dataset("Rain100H", root)
    assert report.release == "the three pairs, under other names"
    path = root / "test/Rain100H/input/2.png"
    with Image.open(path) as image:
        image.putpixel((3, 4), (1, 2, 3))
        image.save(path)
    report = check_dataset("Rain100H", root)
    assert report.release == ""
    assert warnings(report) == ["1 of 3 pairs differ from the known release: 2 (input)"]


@pytest.mark.usefixtures("known")
def test_a_part_of_a_known_release_is_recognised_under_any_file_names(editable_copy):
    folder = editable_copy("test/Rain100H") / "test/Rain100H"
    for half in ("input", "target"):
        (folder / half / "3.png").unlink()
        (folder / half / "1.png").rename(folder / half / "an image.png")
    report = check_dataset("Rain100H", folder.parents[1])
    assert report.release == "2 of the three pairs"
    assert warnings(report) == []


def test_only_the_known_images_of_a_partly_known_release_are_compared(monkeypatch):
    monkeypatch.setattr(releases, "known_pixels", lambda name: {"1": ("a", "b"), "2": ("c", "d")})
    info = CATALOGUE["Rain13K"]
    seen = ReleaseMeasurements(
        3, "0" * 64, pixels={"1": ("a", "b"), "2": ("c", "x"), "9": ("y", "z")}
    )
    assert release_name(info, seen) == ""
    assert release_doubts(info, seen) == ["1 of 3 pairs differ from the known release: 2 (target)"]
    assert partly_known(info, seen).startswith("1 of 3 pairs have known pixels: the first 40")
    assert partly_known(info, ReleaseMeasurements(1, pixels={"9": ("y", "z")})) == ""


@pytest.mark.benchmarks_data
def test_the_catalogue_digests_match_the_real_images(benchmarks):
    for name, count in (("Rain100L", 100), ("Set11", 11), ("BSD68", 68), ("BSD400", 400)):
        info = CATALOGUE[name]
        seen = measure_quickly(info, read_pairs(info, benchmarks))
        assert seen.pixels == releases.known_pixels(name)
        assert (seen.digest, len(seen.pixels)) == (info.published_release.digest, count)


@pytest.mark.benchmarks_data
def test_the_real_pairs_of_gopro_are_recognised_as_blur(benchmarks, tmp_path):
    source = benchmarks / "GoPro/official_samples"
    for half, kind in (("input", "blur"), ("target", "sharp")):
        (tmp_path / "GoPro" / half).mkdir(parents=True)
        for name in ("Istanbul", "Flower"):
            (tmp_path / "GoPro" / half / f"{name}.png").symlink_to(source / f"{name}_{kind}1.png")
    report = check_dataset("GoPro", tmp_path)
    assert warnings(report) == []
    assert report.input_lift == pytest.approx(0.005, abs=1e-3)
